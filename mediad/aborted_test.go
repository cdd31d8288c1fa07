package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
)

// Clients give up at any moment of their joining: while they gather, while the POST is answered, while ICE and DTLS run, as soon as
// they are in. Neither they nor the nodes keep anything of it, and a node that ends in the middle ends whole.
func TestJoinsGivenUpAtAnyMoment(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	warm := subscribe(t, nodes[1], "tea", "warm")
	plays(t, warm, "alice", "video0")
	base := runtime.NumGoroutine()
	join := func(i int, limit time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		n := nodes[i%2]
		cfg := client.Config{URL: n.PublicURL(), Room: "tea", ID: "guest", HTTP: insecure(), LoopbackOnly: true, Trickle: i%3 == 0}
		var s *client.Session
		if i%4 < 2 {
			p, err := client.Publish(ctx, cfg, client.Microphone(), client.Camera(synth.VP8, synth.Burst))
			if err != nil {
				return
			}
			s = p.Session
		} else {
			v, err := client.Subscribe(ctx, cfg, 1, 1)
			if err != nil {
				return
			}
			s = v.Session
		}
		switch i % 3 {
		case 0:
			s.Hangup()
		case 1:
			s.Abandon()
		default:
			_ = s.Close(ctx)
		}
	}
	var wg sync.WaitGroup
	for first := range 4 {
		wg.Go(func() {
			for i := first; i < 80; i += 4 {
				join(i, time.Duration(rand.IntN(250))*time.Millisecond)
			}
		})
	}
	wg.Wait()
	await(t, "the sessions to be gone", 40*time.Second, func() bool {
		total := 0
		for _, n := range nodes {
			publishers, viewers := n.sessions.Counts()
			total += publishers + viewers
		}
		return total == 2
	})
	settle(t, base+base/20)

	for i := range 12 {
		wg.Go(func() { join(i, 10*time.Second) })
	}
	nodes[1].stop()
	wg.Wait()
}
