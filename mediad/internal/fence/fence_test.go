package fence

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is what a Fence stands in: a bus, claims that somebody may have taken, and a clock that the bubble drives.
type world struct {
	*Fence
	up       atomic.Bool
	freeze   atomic.Int64 // how long the process stands still at its next look at the bus
	checks   atomic.Int32
	rewrites atomic.Int32
	takes    atomic.Int64 // how long a check takes
	broken   atomic.Bool  // Redis is away
	lost     chan struct{}
}

func (w *world) Recheck(ctx context.Context) error {
	w.checks.Add(1)
	select {
	case <-time.After(time.Duration(w.takes.Load())):
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.broken.Load() {
		return errors.New("redis is away")
	}
	return nil
}

func (w *world) Rewrite(context.Context) { w.rewrites.Add(1) }

// in runs a test in a bubble with a Fence that is open.
func in(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{lost: make(chan struct{}, 1)}
		w.up.Store(true)
		w.Fence = New(Config{Log: slog.New(slog.DiscardHandler), Connected: func() bool {
			if d := w.freeze.Swap(0); d > 0 {
				time.Sleep(time.Duration(d)) //nolint:forbidigo // this is the freeze
			}
			return w.up.Load()
		}})
		if w.Open() {
			t.Error("open before Run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx, w.lost, w) }()
		w.pass(time.Minute)
		w.want(t, "while all is well", true, 0)
		test(t, w)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
		w.pass(Hold)
		if w.Open() {
			t.Error("open after Run")
		}
	})
}

// pass lets time pass, and everybody do what is due then.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // of the bubble
	synctest.Wait()
}

func (w *world) want(t *testing.T, when string, open bool, checks int32) {
	t.Helper()
	if got := w.Open(); got != open || w.checks.Load() != checks {
		t.Errorf("%s: open: %v, %d checks; want %v, %d", when, got, w.checks.Load(), open, checks)
	}
}

func TestAFreeze(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.freeze.Store(int64(2 * time.Second))
		w.pass(3 * time.Second)
		w.want(t, "after a short freeze", true, 0)

		w.takes.Store(int64(time.Second))
		w.freeze.Store(int64(15 * time.Second))
		w.pass(beatEvery + Hold)
		w.want(t, "frozen", false, 0) // it needs nobody to shut it
		w.pass(12*time.Second + beatEvery)
		w.want(t, "awake, being checked", false, 1)
		w.pass(2 * time.Second)
		w.want(t, "checked", true, 1)
		if w.rewrites.Load() != 1 {
			t.Errorf("%d rewrites", w.rewrites.Load())
		}
		w.pass(time.Minute)
		w.want(t, "later", true, 1)
		if st := w.Stats(); st != (Stats{Checks: 1, Cuts: 1}) {
			t.Errorf("counted %+v", st)
		}
	})
}

// A check that was read before a freeze proves nothing after it.
func TestAFreezeDuringACheck(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.takes.Store(int64(3 * time.Second))
		w.freeze.Store(int64(10 * time.Second))
		w.pass(beatEvery + 10*time.Second)
		w.want(t, "being checked", false, 1)
		w.freeze.Store(int64(10 * time.Second)) // the check ends in it
		w.pass(10*time.Second + 3*beatEvery)
		w.want(t, "being checked again", false, 2)
		w.pass(4 * time.Second)
		w.want(t, "checked", true, 2)
		if st := w.Stats(); st != (Stats{Checks: 1, Failed: 1, Cuts: 1}) {
			t.Errorf("counted %+v", st)
		}
	})
}

func TestTheBusIsAway(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.up.Store(false)
		w.pass(2 * time.Second)
		w.up.Store(true)
		w.pass(time.Minute)
		w.want(t, "after a short absence", true, 0)

		w.up.Store(false)
		w.pass(time.Minute)
		w.want(t, "cut off", false, 0)
		w.broken.Store(true)
		w.up.Store(true)
		w.pass(10 * time.Second)
		if w.Open() || w.checks.Load() < 5 {
			t.Errorf("back, and not checked: open: %v, %d checks", w.Open(), w.checks.Load())
		}
		w.broken.Store(false)
		w.pass(2 * beatEvery)
		if !w.Open() {
			t.Error("shut after a check")
		}
	})
}

// Redis alone was away: the records are looked after, and the media flow.
func TestTheLeaseWasInterrupted(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.broken.Store(true)
		w.takes.Store(int64(5 * time.Second))
		w.lost <- struct{}{}
		for range 20 {
			w.pass(time.Second)
			if !w.Open() {
				t.Fatal("shut because Redis is away")
			}
		}
		w.broken.Store(false)
		w.pass(11 * time.Second)
		if w.rewrites.Load() != 1 {
			t.Errorf("%d rewrites after %d checks", w.rewrites.Load(), w.checks.Load())
		}
		last := w.checks.Load()
		w.lost <- struct{}{}
		w.pass(time.Second)
		w.lost <- struct{}{} // during the check: what it read may be old
		w.pass(time.Minute)
		w.want(t, "after two notices", true, last+2)
	})
}

func TestOpenAllocatesNothing(t *testing.T) {
	f := New(Config{Connected: func() bool { return true }, Log: slog.New(slog.DiscardHandler)})
	f.prove(time.Now())
	if n := testing.AllocsPerRun(100, func() { f.Open() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOpen(b *testing.B) {
	f := New(Config{Connected: func() bool { return true }, Log: slog.New(slog.DiscardHandler)})
	f.prove(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		f.Open()
	}
}
