package speakers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/control"
	"weever/shared/room"
)

func full(t *testing.T, s string) room.FullID {
	t.Helper()
	id, err := room.ParseFullID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Whenever viewers come, from the second turn on theirs are a period apart and fall on eight moments of it.
func TestTurnsFallTogether(t *testing.T) {
	t.Parallel()
	moments := map[time.Duration]bool{}
	for i := range 100 {
		now := time.Unix(1_790_000_000, 0).Add(time.Duration(i) * 7777 * time.Microsecond)
		first := now.Add(Wait(now))
		if wait := first.Sub(now); wait <= period-beat || wait > period {
			t.Errorf("the first turn after %v", wait)
		}
		late := first.Add(time.Duration(i) * 300 * time.Microsecond) // timers are
		if second := late.Add(Wait(late)); second.Sub(first) != period {
			t.Errorf("the second turn %v after the first", second.Sub(first))
		}
		moments[time.Duration(first.UnixNano())%period] = true
	}
	if len(moments) != 8 {
		t.Errorf("%d moments", len(moments))
	}
}

// Each turn is what is heard and what the client is told of it; "-": nothing.
func TestTurns(t *testing.T) {
	t.Parallel()
	var b Board
	for i, turn := range []struct{ heard, told string }{
		{"", "-"},
		{"a:127 b:100", "-"},
		{"a:30 b:99", `[{"id":"a","level":30},{"id":"b","level":99}]`},
		{"b:99 a:34", "-"},
		{"a:35 b:99", `[{"id":"a","level":35},{"id":"b","level":99}]`},
		{"a:31 b:100", `[{"id":"a","level":31}]`},
		{"a:31 b:30", `[{"id":"b","level":30},{"id":"a","level":31}]`},
		{"a:30 b:31", `[{"id":"a","level":30},{"id":"b","level":31}]`}, // the order has changed
		{"a:50 b:31 a:28", "-"},                                        // two microphones
		{"c:2", `[{"id":"c","level":2}]`},
		{"", "[]"},
		{"", "-"},
		{"a:120", "-"},
		{"a:60", `[{"id":"a","level":60}]`},
	} {
		for _, h := range strings.Fields(turn.heard) {
			id, level, _ := strings.Cut(h, ":")
			var n uint8
			if _, err := fmt.Sscan(level, &n); err != nil {
				t.Fatal(err)
			}
			b.Add(full(t, id), n)
		}
		got := "-"
		if m, news := b.Turn(); news {
			text, err := control.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			got = strings.TrimPrefix(text, "SPEAKERS ")
		}
		if got != turn.told {
			t.Errorf("turn %d: heard %s, told %s, want %s", i, turn.heard, got, turn.told)
		}
	}
}

func TestTheLoudestEight(t *testing.T) {
	t.Parallel()
	var b Board
	for i := range 20 {
		b.Add(full(t, fmt.Sprintf("p%d", i)), uint8(90-i))
	}
	m, news := b.Turn()
	if !news || len(m.Speakers) != 8 || m.Speakers[0].Level != 71 || m.Speakers[7].Level != 78 {
		t.Errorf("told %v %+v", news, m)
	}
}

func TestTurnsDoNotAllocate(t *testing.T) {
	var b Board
	ids := []room.FullID{full(t, "a"), full(t, "b"), full(t, "c")}
	level := uint8(0)
	if n := testing.AllocsPerRun(100, func() {
		level = 20 - level
		for i, id := range ids {
			b.Add(id, level+uint8(i))
		}
		b.Turn()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
