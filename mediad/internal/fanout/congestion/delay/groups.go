package delay

// Groups of packets: what left together is one measurement of the way (draft-ietf-rmcat-gcc-02 section 5.2).
//
// Here a whole frame leaves at once, so the later packets of a group wait for the earlier ones, and longer in a larger frame. What
// counts is therefore the delay of the packet that waited least, which tells what stood in the queue before the group came; the draft
// takes the last packet, for senders that pace.
const (
	groupLength = 5_000   // µs between the first and the last packet sent
	clumpGap    = 5_000   // µs between arrivals of packets that the way held back and let go together
	clumpLength = 100_000 // µs between the first and the last of those
	maxJump     = 3_000_000

	burstBytes = 8_000   // of a group that measures the link
	burstTime  = 100_000 // µs that it must take to arrive: less cannot be told from jitter
)

// measurement is what one group tells.
type measurement struct {
	arrived int64 // µs on the receiver's clock
	delay   int64 // µs, of the way and the difference of both clocks
}

// groups puts packets together, in order of sending.
type groups struct {
	open         bool
	first        int64 // µs when the first packet was sent
	firstArrived int64
	arrived      int64 // of the last packet
	least        measurement
	bytes        int     // behind the first packet
	clump        bool    // not all were sent together
	burst        float64 // bit/s at which the last large group came, until it is taken: the link's rate, for the group left in no time
}

// add takes a packet in and returns the group before it, if this packet ended that.
func (g *groups) add(sentAt, arrivedAt int64, size int) (done measurement, ok bool) {
	m := measurement{arrivedAt, arrivedAt - sentAt}
	switch {
	case !g.open:
	case abs(arrivedAt-g.arrived) > maxJump: // a clock was set, or nothing was sent for long
	case sentAt < g.first: // reported on late
		return measurement{}, false
	case sentAt-g.first > groupLength && !g.inClump(m):
		done, ok = g.least, true
	default:
		if m.delay < g.least.delay {
			g.least = m
		}
		g.arrived, g.bytes = arrivedAt, g.bytes+size
		g.clump = g.clump || sentAt-g.first > groupLength
		if span := g.arrived - g.firstArrived; !g.clump && g.bytes >= burstBytes && span >= burstTime {
			g.burst = float64(g.bytes) * 8e6 / float64(span)
		}
		return measurement{}, false
	}
	*g = groups{open: true, first: sentAt, firstArrived: arrivedAt, arrived: arrivedAt, least: m, burst: g.burst}
	return done, ok
}

// inClump reports whether a packet was held back together with the group: it waited less and came right behind.
func (g *groups) inClump(m measurement) bool {
	return m.delay < g.least.delay && m.arrived-g.arrived <= clumpGap && m.arrived-g.firstArrived < clumpLength
}

func abs(n int64) int64 { return max(n, -n) }
