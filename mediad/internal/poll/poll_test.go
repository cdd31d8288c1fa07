package poll

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// count asks for the number of askings so far.
func count(n *atomic.Int64) func(context.Context, string, int64) (int64, error) {
	return func(context.Context, string, int64) (int64, error) { return n.Add(1), nil }
}

// One question is asked once for all who watch it, soon a second time, then every period, and no more when the last one has stopped.
func TestOneAskingForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var asked atomic.Int64
		p := New(ctx, 3*time.Second, count(&asked))
		changed := make(chan struct{}, 1)
		a := p.Watch("tea", changed)
		if _, ok := a.Latest(); ok {
			t.Error("an answer before the asking")
		}
		<-changed
		if v, ok := a.Latest(); v != 1 || !ok {
			t.Errorf("first answer %d, %v", v, ok)
		}
		late := make(chan struct{}, 1)
		b := p.Watch("tea", late)
		<-late // what is known is told at once
		began := time.Now()
		<-changed
		if took := time.Since(began); took != time.Second {
			t.Errorf("the second answer came after %v", took)
		}
		<-late
		<-changed
		<-late
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("the third answer came after %v", took)
		}
		a.Stop()
		a.Stop()
		<-late
		if v, _ := b.Latest(); v != 4 || len(changed) != 0 {
			t.Errorf("answer %d, %d told after Stop", v, len(changed))
		}
		b.Stop()
		p.Wait()
		<-time.After(time.Minute)
		if n := asked.Load(); n != 4 {
			t.Errorf("asked %d times", n)
		}
		again := p.Watch("tea", changed)
		<-changed
		if v, _ := again.Latest(); v != 5 {
			t.Errorf("answer %d after a new beginning", v)
		}
		cancel()
		p.Wait()
		again.Stop()
	})
}

// A reader that does not look holds nothing up, and two watches of one reader on one key are two.
func TestReaderThatDoesNotLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		p := New(t.Context(), time.Second, count(&asked))
		changed := make(chan struct{}, 1)
		a, b := p.Watch("tea", changed), p.Watch("tea", changed)
		<-time.After(10*time.Second + time.Millisecond)
		a.Stop()
		<-changed
		<-changed
		if v, _ := b.Latest(); v != 12 {
			t.Errorf("answer %d", v)
		}
		b.Stop()
		p.Wait()
	})
}

// A failure leaves the last answer, and an asking that hangs is given up after a period.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		p := New(t.Context(), 2*time.Second, func(ctx context.Context, _ string, last int64) (int64, error) {
			switch asked.Add(1) {
			case 1:
				return 7, nil
			case 2:
				return 8, errors.New("away")
			case 3:
				<-ctx.Done()
				return 9, ctx.Err()
			default:
				return last + 1, nil
			}
		})
		changed := make(chan struct{}, 1)
		w := p.Watch("tea", changed)
		defer w.Stop()
		<-changed
		<-time.After(4 * time.Second)
		if v, ok := w.Latest(); v != 7 || !ok {
			t.Errorf("after failures: %d, %v", v, ok)
		}
		<-changed
		if v, _ := w.Latest(); v != 8 {
			t.Errorf("after the failures: %d", v)
		}
		w.Stop()
		p.Wait()
	})
}
