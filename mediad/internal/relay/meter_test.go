package relay

import (
	"errors"
	"testing"

	"weever/mediad/internal/nodecall"
	"weever/shared/testkit"
)

// TestMeter: any node reads the owner's counters, and nobody has to watch for that.
func TestMeter(t *testing.T) {
	url := testkit.NATS(t)
	a, b := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url)
	k := key(t, "video0", "h")
	for name, n := range map[string]*node{"here": a, "there": b} {
		var remote *nodecall.RemoteError
		if _, err := n.Meter(t.Context(), k, a.owner()); !errors.Is(err, ErrNotPublished) && !errors.As(err, &remote) {
			t.Errorf("%s, before it is published: %v", name, err)
		}
	}
	p := publish(t, a, k, videoTrack)
	p.frame(true, 5)
	want := p.stream.Stats()
	if want.Bytes == 0 || want.Width == 0 {
		t.Fatalf("%+v", want)
	}
	for name, n := range map[string]*node{"here": a, "there": b} {
		m, err := n.Meter(t.Context(), k, a.owner())
		if err != nil || m.Bytes != want.Bytes || m.Width != want.Width || m.Height != want.Height {
			t.Errorf("%s: %+v, %v; want %+v", name, m, err, want)
		}
	}
	bad := k
	bad.Layer = noLayer
	if _, err := b.Meter(t.Context(), bad, a.owner()); !errors.Is(err, ErrKey) {
		t.Errorf("a layer that is none: %v", err)
	}
	gone := a.owner()
	gone.Instance = "nobody"
	if _, err := b.Meter(t.Context(), k, gone); !errors.Is(err, nodecall.ErrNoNode) {
		t.Errorf("an owner that is gone: %v", err)
	}
	if st := a.Stats(); st.MessagesOut != 0 || st.Leases != 0 {
		t.Errorf("reading made traffic: %+v", st)
	}
}
