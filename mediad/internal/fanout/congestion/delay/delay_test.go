package delay

import (
	"math"
	"testing"
)

func TestGroups(t *testing.T) {
	type packet struct{ sent, arrived int64 }
	const s = 1_000_000
	for name, tc := range map[string]struct {
		packets []packet
		want    []int64 // delays of the groups that ended, in µs
	}{
		"a frame is one group, and its first packet tells": {
			[]packet{{0, 10_000}, {0, 15_000}, {0, 20_000}, {33_000, 43_000}, {66_000, 76_000}}, []int64{10_000, 10_000},
		},
		"paced": {
			[]packet{{0, 10_000}, {5_000, 15_000}, {10_000, 20_100}, {15_000, 25_000}, {20_000, 30_000}}, []int64{10_000, 10_000},
		},
		"held back and let go together": {
			[]packet{{0, 100_000}, {33_000, 100_500}, {66_000, 101_000}, {99_000, 109_000}, {132_000, 142_000}}, []int64{35_000, 10_000},
		},
		"a queue that grows is no clump": {
			[]packet{{0, 10_000}, {33_000, 60_000}, {66_000, 110_000}, {99_000, 160_000}}, []int64{10_000, 27_000, 44_000},
		},
		"reported on late": {
			[]packet{{50_000, 60_000}, {0, 100_000}, {100_000, 110_000}}, []int64{10_000},
		},
		"after a long silence": {
			[]packet{{0, 10_000}, {4 * s, 4*s + 10_000}, {4*s + 33_000, 4*s + 43_000}}, []int64{10_000},
		},
	} {
		var g groups
		var got []int64
		for _, p := range tc.packets {
			if m, ok := g.add(p.sent, p.arrived, 1000); ok {
				got = append(got, m.delay)
			}
		}
		if len(got) != len(tc.want) {
			t.Errorf("%s: %v, not %v", name, got, tc.want)
			continue
		}
		for i := range got {
			if got[i] != tc.want[i] {
				t.Errorf("%s: %v, not %v", name, got, tc.want)
			}
		}
	}
}

// TestBurst: a large frame that leaves at once measures the link; a small one, a paced or a fast one does not.
func TestBurst(t *testing.T) {
	for name, tc := range map[string]struct {
		packets      int
		gap, arrival int64 // µs between packets, sent and arrived
		want         float64
	}{
		"large": {30, 0, 10_000, 800_000},
		"small": {8, 0, 20_000, 0},
		"paced": {30, 1_000, 10_000, 0},
		"fast":  {30, 0, 1_000, 0},
	} {
		var g groups
		for i := range int64(tc.packets) {
			g.add(i*tc.gap, 50_000+i*tc.arrival, 1000)
		}
		if math.Abs(g.burst-tc.want) > 1 {
			t.Errorf("%s: %.0f, not %.0f", name, g.burst, tc.want)
		}
	}
}

// feed gives a trend a group every 33 ms, whose delay in ms is that of f, and counts those at which it found over-use.
func feed(tr *trend, from, n int, f func(i int) float64) (overuses int) {
	for i := range n {
		at := int64(from+i) * 33_000
		if tr.add(measurement{at, int64(1000 * f(i))}) == Overuse {
			overuses++
		}
	}
	return overuses
}

func TestTrend(t *testing.T) {
	flat := func(int) float64 { return 40 }
	var tr trend
	if n := feed(&tr, 0, 100, flat); n != 0 || tr.queue() != 0 {
		t.Errorf("flat: over-use %d times, queue %v", n, tr.queue())
	}
	// A key frame of 240 ms, which then drains by 7 ms a frame.
	if n := feed(&tr, 100, 60, func(i int) float64 { return 40 + max(0, 240-7*float64(i)) }); n > 4 {
		t.Errorf("a burst that drains: over-use %d times", n)
	}
	feed(&tr, 160, 100, flat)
	drift := func(i int) float64 { return 40 + 0.01*float64(i) } // clocks that differ by 300 ppm
	if n := feed(&tr, 260, 1000, drift); n != 0 {
		t.Errorf("drift: over-use %d times", n)
	}
	begin := drift(999)
	if n := feed(&tr, 1260, 20, func(i int) float64 { return begin + 10*float64(i) }); n < 10 {
		t.Errorf("30 %% too much: over-use %d times in 20", n)
	}
	if tr.queue() < 150 {
		t.Errorf("queue %v", tr.queue())
	}
	if feed(&tr, 1280, 25, func(i int) float64 { return begin + 190 - 7*float64(i) }); tr.state != Underuse {
		t.Errorf("draining: %v", tr.state)
	}
	feed(&tr, 1305, 700, func(int) float64 { return begin + 60 }) // another way, longer by 60 ms
	if tr.queue() != 0 || tr.state != Normal {
		t.Errorf("another way: queue %v, %v", tr.queue(), tr.state)
	}
}
