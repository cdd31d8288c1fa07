package keyframe

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// heard notes when wishes came, in milliseconds.
type heard struct {
	mu    sync.Mutex
	start time.Time
	at    []int64
}

func (h *heard) wish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = append(h.at, time.Since(h.start).Milliseconds())
}

func (h *heard) times() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.at)
}

func TestWisher(t *testing.T) {
	for _, tc := range []struct {
		name    string
		asks    []int64 // ms
		granted []int64 // ms
		stop    int64   // ms; 0: at the end
		want    []int64
	}{
		{"the first at once", []int64{0}, nil, 0, []int64{0}},
		{"many at once are one, and one more at the end of the window", []int64{0, 0, 0, 1, 499}, nil, 0, []int64{0, 500}},
		{"after the window at once", []int64{0, 500, 1700}, nil, 0, []int64{0, 500, 1700}},
		{"the window begins anew", []int64{0, 100, 600, 700}, nil, 0, []int64{0, 500, 1000}},
		{"a key frame grants those before it", []int64{0, 100}, []int64{200}, 0, []int64{0}},
		{"and not those after it", []int64{0, 100, 300}, []int64{200}, 0, []int64{0, 500}},
		{"stopped", []int64{0, 100, 700}, nil, 200, []int64{0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &heard{start: time.Now()}
				w := New(h.wish)
				defer w.Stop()
				for ms := range int64(3000) {
					if tc.stop != 0 && ms == tc.stop {
						w.Stop()
					}
					if slices.Contains(tc.granted, ms) {
						w.Granted()
					}
					for _, ask := range tc.asks {
						if ask == ms {
							w.Ask()
						}
					}
					<-time.After(time.Millisecond)
				}
				if got := h.times(); !slices.Equal(got, tc.want) {
					t.Errorf("wishes at %v ms, want %v", got, tc.want)
				}
				if got := w.Sent(); got != uint64(len(tc.want)) {
					t.Errorf("Sent = %d, want %d", got, len(tc.want))
				}
			})
		})
	}
}

func TestWisherWithNobodyToAsk(t *testing.T) {
	w := New(nil)
	w.Ask()
	w.Granted()
	if got := w.Sent(); got != 0 {
		t.Errorf("Sent = %d, want 0", got)
	}
	w.Stop()
}

// TestWisherConcurrently: whatever the goroutines do, wishes keep their distance.
func TestWisherConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &heard{start: time.Now()}
		w := New(h.wish)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for range 100 {
					w.Ask()
					<-time.After(time.Duration(7+i) * time.Millisecond)
					if i == 0 {
						w.Granted()
					}
				}
			})
		}
		wg.Wait()
		w.Stop()
		times := h.times()
		for i := 1; i < len(times); i++ {
			if times[i]-times[i-1] < Window.Milliseconds() {
				t.Fatalf("wishes at %v ms", times)
			}
		}
		if len(times) < 2 {
			t.Fatalf("only %d wishes", len(times))
		}
	})
}
