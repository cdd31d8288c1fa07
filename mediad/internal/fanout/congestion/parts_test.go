package congestion

import (
	"math"
	"testing"

	"weever/mediad/internal/fanout/congestion/delay"
)

func TestDelivery(t *testing.T) {
	var d delivery
	at := int64(-3_000_000) // times may be negative
	for range 400 {
		d.add(at, 1000)
		at += 10_000
	}
	if rate, ok := d.rate(); !ok || rate != 800_000 {
		t.Errorf("%v, %v", rate, ok)
	}
	for range 20 {
		d.add(at, 2000)
		at += 10_000
	}
	rate, _ := d.rate()
	if peak, ok := d.peak(); !ok || peak <= rate || rate <= 800_000 || peak > 1_600_000 {
		t.Errorf("%v, %v: %v", rate, ok, peak)
	}
	d.add(at-2_000_000, 1<<16)
	if again, _ := d.rate(); again != rate {
		t.Errorf("what is late counts: %v, before %v", again, rate)
	}
	d.add(at+10_000_000, 1000)
	if _, ok := d.rate(); ok {
		t.Error("measured after a silence")
	}
}

func TestLosses(t *testing.T) {
	for name, tc := range map[string]struct {
		gone, got int
		closes    bool
		heavy     bool
	}{
		"too few":            {10, 30, false, false},
		"one in fifty":       {1, 49, true, false},
		"by chance":          {8, 52, true, false},
		"a third":            {20, 40, true, true},
		"more came than not": {-3, 60, true, false},
	} {
		l := losses{gone: tc.gone, got: tc.got}
		if got := l.close(lossWindow); got != tc.closes || (l.certain > heavyLoss) != tc.heavy || l.share < 0 {
			t.Errorf("%s: %v, %+v", name, got, l)
		}
	}
	l := losses{got: 10}
	if l.close(lossWindow) || !l.close(lossLongest) {
		t.Error("a few packets close the window late")
	}
}

// calm is what a link that carries rate looks like.
func calm(rate float64) evidence {
	return evidence{link: delay.Normal, delivered: rate, peak: rate, measured: true, trip: 50_000, losses: &losses{}}
}

func TestControl(t *testing.T) {
	var c control
	now := int64(0)
	run := func(seconds float64, e evidence) float64 {
		for end := now + int64(seconds*1e6); now < end; {
			now += 100_000
			c.update(now, e)
		}
		return c.rate
	}
	c.set(300_000)
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got/want-1) > 0.02 {
			t.Errorf("%s: %.0f, not %.0f", name, got, want)
		}
	}
	near("what arrives, the link carries", run(0.1, calm(1_000_000)), 1_000_000*math.Pow(firstGrowth, 0.1))
	near("what nobody has tried, nobody knows", run(600, calm(1_000_000)), 1_550_000)
	near("what was tried, is not forgotten", run(600, calm(100_000)), 1_550_000)
	full := calm(1_000_000)
	full.link = delay.Overuse
	near("too full", run(0.1, full), 850_000)
	near("still too full", run(60, full), 850_000)
	silent := calm(0)
	silent.link, silent.measured = delay.Overuse, false
	if got := run(0.1, silent); got >= 850_000 || got < leastRate {
		t.Errorf("too full, and nothing measured: %.0f", got)
	}
	c.set(850_000)
	if got := run(2, calm(900_000)); got > 1_100_000 {
		t.Errorf("near the knee it grew to %.0f", got)
	}
	near("beyond the knee", run(10, calm(3_000_000)), 4_550_000)
}

func TestControlAndLosses(t *testing.T) {
	heavy := calm(500_000)
	heavy.losses, heavy.lossNew = &losses{share: 0.5, certain: 0.4}, true
	c := control{rate: 3_000_000}
	c.update(1, heavy) // a million was sent, of which half arrived
	if math.Abs(c.rate-750_000) > 1 {
		t.Errorf("%.0f", c.rate)
	}
	mild := calm(1_000_000)
	mild.losses = &losses{share: 0.05}
	c = control{rate: 1_200_000}
	for i := range int64(100) {
		c.update(i*100_000, mild)
	}
	if c.rate != 1_200_000 {
		t.Errorf("with some losses the rate moved to %.0f", c.rate)
	}
}
