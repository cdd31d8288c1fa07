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
	spend := func() (bytes int) {
		for seq := uint64(1); ; seq++ {
			now = now.Add(time.Hour)
			if why, refused := g.Refuse(seq+uint64(bytes)<<20, now); refused {
				if why != drop.NackBudget {
					t.Fatalf("refused for %v", why)
				}
				return bytes
			}
			g.Sent(seq+uint64(bytes)<<20, 1000-overhead, now)
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

func TestEarnDoesNotAllocate(t *testing.T) {
	var g Guard
	if n := testing.AllocsPerRun(100, func() { g.Earn(1000); g.Refuse(1, time.Time{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
