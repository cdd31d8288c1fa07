package resend

import (
	"testing"
	"time"

	"weever/mediad/internal/fanout/drop"
)

func TestRepetitions(t *testing.T) {
	var g Guard
	now := time.Unix(1e9, 0)
	ask := func(name string, seq uint64, want bool) {
		t.Helper()
		why, refused := g.Refuse(seq, now)
		if refused == want || refused && why != drop.NackRepeat {
			t.Errorf("%s: refused %v for %v", name, refused, why)
		}
		if !refused {
			g.Sent(seq, 100, now)
		}
	}
	ask("first", 7, true)
	ask("at once", 7, false)
	now = now.Add(Again - 1)
	ask("too soon", 7, false)
	ask("another", 8, true)
	for range Times - 1 {
		now = now.Add(Again)
		ask("again", 7, true)
	}
	now = now.Add(time.Hour)
	ask("once too often", 7, false)
	ask("one that shares its place", 7+memory, true)
}

func TestBudget(t *testing.T) {
	var g Guard
	now := time.Unix(1e9, 0)
	var seq uint64
	spend := func() (bytes int) {
		for {
			seq++
			now = now.Add(time.Hour)
			if why, refused := g.Refuse(seq, now); refused {
				if why != drop.NackBudget {
					t.Fatalf("refused for %v", why)
				}
				return bytes
			}
			g.Sent(seq, 1000-overhead, now)
			bytes += 1000
		}
	}
	near := func(name string, got, want int) {
		t.Helper()
		if got < want-1000 || got > want+1000 {
			t.Errorf("%s: %d bytes, want about %d", name, got, want)
		}
	}
	near("the burst", spend(), Burst)
	g.Earn(100_000)
	near("half of what was sent", spend(), 50_000)
	for range 1000 {
		g.Earn(100_000)
	}
	near("no more than the ceiling", spend(), Ceiling)
}

// TestFirstRequestsGoBefore: who asks again for what it has been sent already uses up nothing that a first request may need.
func TestFirstRequestsGoBefore(t *testing.T) {
	var g Guard
	now := time.Unix(1e9, 0)
	for seq := range uint64(40) {
		g.Sent(seq+1, 1000-overhead, now)
	}
	for n := range 200 {
		now = now.Add(Again)
		if why, refused := g.Refuse(uint64(n%40)+1, now); !refused || why != drop.NackBudget {
			t.Fatalf("repetition %d: %v, %v", n, why, refused)
		}
	}
	if why, refused := g.Refuse(1000, now); refused {
		t.Errorf("a first request was refused for %v", why)
	}
}

func TestEarnDoesNotAllocate(t *testing.T) {
	var g Guard
	if n := testing.AllocsPerRun(100, func() { g.Earn(1000); g.Refuse(1, time.Time{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
