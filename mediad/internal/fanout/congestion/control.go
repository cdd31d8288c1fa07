package congestion

import (
	"math"
	"time"

	"weever/mediad/internal/fanout/congestion/delay"
)

// The rate controller of draft-ietf-rmcat-gcc-02 sections 5.5 and 6: the rate falls to a share of what arrives when the link is too full,
// and rises while it is not, fast when far from where the link was full last and slowly near that.
const (
	leastRate = 50_000 // bit/s
	mostRate  = 200_000_000

	backOff     = 0.85   // β: of what arrives when it is too much
	growth      = 1.08   // α: in a second
	firstGrowth = 1.5    // in its place before the link was ever found too full
	stepBits    = 9_600  // in its place near the knee: a packet in each round trip
	slack       = 1.5    // by which the rate may grow beyond what arrives, for more nobody has tried
	slackConst  = 50_000 // bit/s in addition

	calmQueue = 50 * time.Millisecond // below which the rate may grow
	noQueue   = 15 * time.Millisecond // below which what arrives is what the link carries

	leastTrip = 10_000 // µs; between two decreases lies a round trip within these bounds
	mostTrip  = 200_000
	extraTrip = 100_000 // that the detector takes

	mildLoss  = 0.02 // up to which the rate may grow
	heavyLoss = 0.10 // above which it falls
)

// control is the rate, in bit/s.
type control struct {
	rate    float64
	updated int64 // µs
	cut     int64 // when it fell last; 0: never
	knee    knee
}

// evidence is what one feedback packet adds to what is known.
type evidence struct {
	link      delay.Usage
	queue     time.Duration
	delivered float64 // bit/s
	peak      float64 // likewise, but never less than at the very last
	measured  bool    // both are known
	trip      int64   // µs
	losses    *losses
	lossNew   bool // a window of losses has just been closed
}

// update takes in what was learnt.
func (c *control) update(now int64, e evidence) {
	elapsed := min(max(float64(now-c.updated)/1e6, 0), 1)
	c.updated = now
	switch {
	case e.link == delay.Overuse:
		c.decrease(now, e)
	case e.lossNew && e.losses.certain > heavyLoss:
		c.lose(now, e)
	case e.link == delay.Normal && e.losses.certain <= heavyLoss && e.queue < calmQueue:
		c.increase(elapsed, e)
	}
}

func (c *control) set(rate float64) { c.rate = min(max(rate, leastRate), mostRate) }

// decrease is for delays (section 5.5).
func (c *control) decrease(now int64, e evidence) {
	if now-c.cut < min(max(e.trip, leastTrip), mostTrip) && !(e.measured && e.peak < c.rate/2) {
		return
	}
	base := c.rate
	if e.measured {
		base = e.peak
		c.knee.note(e.peak / 1000)
	}
	c.cut = now
	c.set(min(c.rate, backOff*base))
}

// lose is for losses (section 6): of what was sent, for the rate may be far above that. What arrives is never too much.
func (c *control) lose(now int64, e evidence) {
	rate := c.rate * (1 - e.losses.share/2)
	if e.measured {
		rate = e.peak / (1 - min(e.losses.share, 0.9)) * (1 - e.losses.share/2)
	}
	c.cut = now
	c.set(min(c.rate, rate))
}

func (c *control) increase(elapsed float64, e evidence) {
	if !e.measured {
		return
	}
	if e.queue < noQueue {
		c.set(max(c.rate, e.delivered))
	}
	limit := slack*e.delivered + slackConst
	if c.rate >= limit || e.losses.share > mildLoss {
		return
	}
	if e.delivered/1000 > c.knee.most() {
		c.knee = knee{}
	}
	more := c.rate * (math.Pow(growth, elapsed) - 1)
	switch {
	case c.cut == 0:
		more = c.rate * (math.Pow(firstGrowth, elapsed) - 1)
	case c.knee.known():
		more = stepBits * elapsed * 1e6 / float64(e.trip+extraTrip)
	}
	c.set(min(c.rate+more, limit))
}

// knee is what arrived when the link was too full: mean, in kbit/s, and deviation, as its square's share of the mean.
type knee struct{ mean, spread float64 }

const (
	kneeMemory  = 0.05
	leastSpread = 0.4
	mostSpread  = 2.5
)

func (k *knee) known() bool { return k.mean > 0 }

// most is as much as still may be the same link; infinite as long as nothing is known.
func (k *knee) most() float64 {
	if !k.known() {
		return math.Inf(1)
	}
	return k.mean + 3*math.Sqrt(k.spread*k.mean)
}

func (k *knee) note(rate float64) {
	if !k.known() || rate < k.mean-3*math.Sqrt(k.spread*k.mean) {
		*k = knee{rate, leastSpread}
		return
	}
	off := k.mean - rate
	k.mean -= kneeMemory * off
	k.spread = min(max((1-kneeMemory)*k.spread+kneeMemory*off*off/max(k.mean, 1), leastSpread), mostSpread)
}
