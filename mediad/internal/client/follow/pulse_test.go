package follow

import (
	"context"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/clienttest"
)

// Who finds no answer to a PING goes elsewhere, and has lost a session; who finds one every time stays.
func TestPulse(t *testing.T) {
	t.Parallel()
	s := clienttest.New(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	config := func(id string) Config {
		return Config{Pulse: 2 * time.Second, Config: client.Config{URL: s.URL, Room: "r", ID: id, HTTP: s.Client, LoopbackOnly: true}}
	}
	p, err := Publish(ctx, config("alice"), client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	v, err := Subscribe(ctx, config("bob"), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.Current().SetNetwork(false)
	for v.Sessions() == 1 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("it does not notice")
		}
	}
	if v.Lost() != 1 || v.Err() != nil || p.Lost() != 0 || p.Sessions() != 1 {
		t.Errorf("the viewer lost %d sessions (%v), the publisher %d of %d", v.Lost(), v.Err(), p.Lost(), p.Sessions())
	}
}
