package admission

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weever/shared/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load is a node whose load a test chooses.
type load struct {
	mu       sync.Mutex
	sessions int
	mbps     float64 // sent from now on
	cpu      float64 // percent of all cores, from now on

	at   time.Time
	sent float64
	used time.Duration
}

// read makes time pass up to now and says what there is then.
func (l *load) read() (sessions int, sent uint64, used time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass()
	return l.sessions, uint64(l.sent), l.used
}

func (l *load) pass() {
	took := time.Since(l.at)
	l.at = time.Now()
	l.sent += l.mbps * 1e6 / 8 * took.Seconds()
	l.used += time.Duration(l.cpu / 100 * float64(runtime.GOMAXPROCS(0)) * float64(took))
}

// set changes the load from now on.
func (l *load) set(mbps, cpu float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass()
	l.mbps, l.cpu = mbps, cpu
}

// have changes the number of sessions.
func (l *load) have(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = n
}

// measured runs an Admission in a bubble of synctest.
func measured(t *testing.T, cfg Config, test func(a *Admission, l *load)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &load{at: time.Now()}
		cfg.Sessions = func() int { n, _, _ := l.read(); return n }
		cfg.Sent = func() uint64 { _, n, _ := l.read(); return n }
		cfg.Used = func() time.Duration { _, _, d := l.read(); return d }
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait()
		test(a, l)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// after lets seconds pass, to between two measurements.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// full lists the limits that are reached.
func full(a *Admission) (names []string) {
	for _, l := range a.Limits() {
		if l.Full {
			names = append(names, l.Name)
		}
	}
	return names
}

func TestCPU(t *testing.T) {
	measured(t, Config{MaxCPU: 50}, func(a *Admission, l *load) {
		l.set(0, 100)
		after(1500 * time.Millisecond)
		if got := full(a); got != nil {
			t.Errorf("judged before there is an average: %v", got)
		}
		l.set(0, 20)
		after(4 * time.Second)
		l.set(0, 49)
		after(20 * time.Second)
		if got := full(a); got != nil || a.Admit() != nil {
			t.Errorf("below the limit: %v", got)
		}
		l.set(0, 60)
		after(10 * time.Second)
		if got := full(a); !slices.Equal(got, []string{CPU}) {
			t.Errorf("at the limit: %v, %+v", got, a.Limits())
		}
		var e *apierr.Error
		if err := a.Admit(); !errors.As(err, &e) || e.Code != apierr.Unavailable || e.RetryAfter <= 0 || !strings.Contains(e.Detail, "busy") {
			t.Errorf("%v", err)
		}
		l.set(0, 47)
		after(time.Minute)
		if got := full(a); got == nil {
			t.Error("free just below the limit")
		}
		l.set(0, 40)
		after(4 * time.Second)
		if got := full(a); got == nil {
			t.Error("free at once")
		}
		after(8 * time.Second)
		if got := full(a); got != nil || a.Admit() != nil {
			t.Errorf("well below for long: %v, %+v", got, a.Limits())
		}
	})
}

// A load that goes up and down around the limit does not make the node go in and out.
func TestNoFlapping(t *testing.T) {
	measured(t, Config{MaxEgress: 100}, func(a *Admission, l *load) {
		l.set(120, 0)
		after(10 * time.Second)
		changes, was := 0, full(a) != nil
		if !was {
			t.Fatal("not full")
		}
		for i := range 120 {
			l.set([]float64{60, 130}[i/4%2], 0) // four seconds each
			after(time.Second)
			if is := full(a) != nil; is != was {
				was = is
				changes++
			}
		}
		if changes != 0 {
			t.Errorf("%d changes", changes)
		}
		l.set(60, 0)
		after(12 * time.Second)
		if got := full(a); got != nil {
			t.Errorf("%v, %+v", got, a.Limits())
		}
	})
}

// A short peak is not the load of the node.
func TestShortPeak(t *testing.T) {
	measured(t, Config{MaxEgress: 100, MaxCPU: 50}, func(a *Admission, l *load) {
		l.set(50, 20)
		after(10 * time.Second)
		l.set(250, 100)
		after(time.Second)
		l.set(50, 20)
		for range 10 {
			after(time.Second)
			if got := full(a); got != nil {
				t.Fatalf("%v, %+v", got, a.Limits())
			}
		}
	})
}

func TestSessions(t *testing.T) {
	for _, c := range []struct{ most, room int }{{1, 0}, {5, 4}, {10, 9}, {500, 450}} {
		measured(t, Config{MaxSessions: c.most}, func(a *Admission, l *load) {
			l.have(c.most - 1)
			after(10 * time.Second)
			if got := full(a); got != nil {
				t.Errorf("of %d: %v", c.most, got)
			}
			l.have(c.most)
			if got := full(a); !slices.Equal(got, []string{Sessions}) {
				t.Errorf("not full at once: %v", got)
			}
			if err := a.Admit(); err != nil {
				t.Errorf("the number of sessions is not judged here: %v", err)
			}
			l.have(c.room + 1)
			after(time.Minute)
			if got := full(a); got == nil {
				t.Errorf("of %d: free", c.most)
			}
			l.have(c.room)
			after(4 * time.Second)
			if got := full(a); got == nil {
				t.Errorf("of %d: free at once", c.most)
			}
			after(3 * time.Second)
			if got := full(a); got != nil {
				t.Errorf("of %d: %v", c.most, got)
			}
		})
	}
}

func TestNoLimits(t *testing.T) {
	measured(t, Config{}, func(a *Admission, l *load) {
		l.have(1 << 20)
		l.set(1e6, 100)
		after(20 * time.Second)
		if got := full(a); got != nil || a.Admit() != nil {
			t.Errorf("%v", got)
		}
		for i, want := range []float64{1 << 20, 1e6, 100} {
			if got := a.Limits()[i]; got.Max != 0 || got.Value < want*0.99 || got.Value > want*1.01 {
				t.Errorf("%+v, want about %v", got, want)
			}
		}
	})
}

// This process has used some CPU time by now.
func TestProcessTime(t *testing.T) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		if used, known := processTime(); known && used > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no CPU time is known")
		}
	}
}
