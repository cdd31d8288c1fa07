package nodecall

import (
	"context"
	"errors"
	"testing"
	"time"

	"weever/shared/testkit"
)

// TestStats: each call counts once on either side, by how it ended.
func TestStats(t *testing.T) {
	url := testkit.NATS(t)
	here, there := newCalls(t, url, "aaaa"), newCalls(t, url, "bbbb")
	handle(t, there, "fine", func(context.Context, []byte) ([]byte, error) { return nil, nil })
	handle(t, there, "refuses", func(context.Context, []byte) ([]byte, error) { return nil, &RemoteError{Code: "no"} })
	handle(t, there, "fails", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("broken") })
	handle(t, there, "hangs", func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	serve(t, there)
	for instance, verbs := range map[string][]string{"bbbb": {"fine", "fine", "refuses", "fails", "unheard-of", "hangs"}, "gone": {"fine"}} {
		for _, verb := range verbs {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			_, _ = here.Call(ctx, instance, verb, nil)
			cancel()
		}
	}
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = here.Call(gaveUp, "bbbb", "fine", nil)

	want := map[string]uint64{"ok": 2, "refused": 1, "failed": 1, "unknown_verb": 1, "timeout": 1, "no_node": 1, "busy": 0, "no_bus": 0}
	made := here.Stats().Made
	for name, n := range want {
		if got, there := made[name]; !there || got != n {
			t.Errorf("made: %s is %d, want %d", name, got, n)
		}
	}
	served := there.Stats()
	for name, n := range map[string]uint64{"ok": 2, "refused": 1, "failed": 1, "unknown_verb": 1} {
		if served.Served[name] != n {
			t.Errorf("served: %s is %d, want %d", name, served.Served[name], n)
		}
	}
	if served.Lost != 0 {
		t.Errorf("%d calls were lost", served.Lost)
	}
}
