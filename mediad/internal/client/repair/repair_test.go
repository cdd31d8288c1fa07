package repair

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is one request.
type asked struct {
	after time.Duration
	ssrc  uint32
	seqs  []uint16
}

// run gives what is asked for while a story is told.
func run(t *testing.T, story func(l *List)) (all []asked) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, begin := New(), time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.Run(ctx, func(ssrc uint32, seqs []uint16) { all = append(all, asked{time.Since(begin), ssrc, seqs}) })
		}()
		synctest.Wait()
		story(l)
		synctest.Wait()
		cancel()
		<-done
	})
	return all
}

func see(l *List, ssrc uint32, seqs ...uint16) {
	for _, n := range seqs {
		l.Saw(ssrc, n)
	}
}

func equal(a, b asked) bool {
	return a.after == b.after && a.ssrc == b.ssrc && slices.Equal(a.seqs, b.seqs)
}

func TestAsksAtOnceAndAgainUntilItIsThere(t *testing.T) {
	all := run(t, func(l *List) {
		see(l, 7, 65533, 65534, 1, 2) // 65535 and 0 are missing
		see(l, 8, 100, 101)           // nothing is
		<-time.After(30 * time.Millisecond)
		see(l, 7, 0)
		<-time.After(80 * time.Millisecond)
		see(l, 7, 65535, 3)
		<-time.After(time.Second)
	})
	want := []asked{{0, 7, []uint16{65535, 0}}, {100 * time.Millisecond, 7, []uint16{65535}}}
	if !slices.EqualFunc(all, want, equal) {
		t.Errorf("asked %v, want %v", all, want)
	}
}

func TestGivesUp(t *testing.T) {
	all := run(t, func(l *List) {
		see(l, 7, 1, 3)
		<-time.After(10 * time.Second)
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.streams[7].missing); n != 0 {
			t.Errorf("%d packets are waited for", n)
		}
	})
	if len(all) != tries || all[tries-1].after != (tries-1)*patience {
		t.Errorf("asked %v", all)
	}
}

// A hole as large as that is not worth its repair.
func TestALongGap(t *testing.T) {
	if all := run(t, func(l *List) { see(l, 7, 1, most+3) }); len(all) != 0 {
		t.Errorf("asked %v", all)
	}
	if all := run(t, func(l *List) { see(l, 7, 1, most+2) }); len(all) != 1 || len(all[0].seqs) != most {
		t.Errorf("asked %v", all)
	}
}

func BenchmarkSaw(b *testing.B) {
	l := New()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Saw(7, uint16(i)) //nolint:gosec // it wraps
	}
}
