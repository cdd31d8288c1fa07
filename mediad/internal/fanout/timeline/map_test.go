package timeline

import (
	"testing"
	"time"
)

func TestConstantOffset(t *testing.T) {
	m := Begin(1<<32-100, 5000, 0, 0)
	for in, want := range map[uint32]uint32{1<<32 - 100: 5000, 0: 5100, 100: 5200, 1<<32 - 200: 4900, 1<<31 + 7: 5107 + 1<<31} {
		if got := m.Out(1, in); got != want || m.Live(in) != want {
			t.Errorf("Out(%d) = %d, Live = %d, want %d", in, got, m.Live(in), want)
		}
	}
}

// TestReplay: what was replayed eight times as fast has its time compressed by eight; afterwards time runs as it should.
func TestReplay(t *testing.T) {
	const in, out, pivot = 1<<32 - 8000, 1000, 8000
	m := Begin(in, out, 8, pivot)
	for _, tc := range []struct {
		index    uint64
		in, want uint32
	}{
		{1, in, 1000},
		{2, in + 800, 1100},
		{3, 0, 2000},
		{4, pivot - 8, 2999},
		{5, pivot, 3000},
		{6, pivot + 3000, 6000},
		{1, in, 1000},          // asked for again
		{7, in, 1<<32 - 13000}, // a publisher that says anything
		{6, pivot + 3000, 6000},
		{3, 0, 2000},
	} {
		if got := m.Out(tc.index, tc.in); got != tc.want {
			t.Errorf("Out(%d) = %d, want %d", tc.in, got, tc.want)
		}
	}
	if got, ago := m.Live(0), uint32(8000); got != 3000-ago {
		t.Errorf("Live(0) = %d, want what the clock showed then", got)
	}
	last := m.Out(8, pivot)
	for ts := uint32(pivot); ts-pivot < 1<<32-90000; ts += 90000 { // nearly a whole turn of the clock
		got := m.Out(9, ts)
		if ts != pivot && got-last != 90000 {
			t.Fatalf("%d ticks after the replay the clock jumped by %d", ts-pivot, int32(got-last))
		}
		last = got
	}
}

func TestLater(t *testing.T) {
	for _, tc := range []struct {
		passed time.Duration
		want   uint32
	}{
		{0, 3000}, {time.Millisecond, 3000}, {time.Second, 90000}, {-time.Hour, 3000}, {13 * time.Hour, uint32(13 * 3600 * 90000 % (1 << 32))},
	} {
		if got := Later(7, tc.passed, 90000, 3000); got != tc.want+7 {
			t.Errorf("after %v: %d, want %d", tc.passed, got, tc.want+7)
		}
	}
}
