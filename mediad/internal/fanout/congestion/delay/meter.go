// Package delay finds out from the times of packets whether a queue builds up on their way.
//
// Package congestion tells a Meter of each packet that arrived and asks it what the link is like. The mathematics are those of
// draft-ietf-rmcat-gcc-02 section 5: packets make groups, the groups' delays a line, and the line's slope is compared with a threshold.
package delay

import "time"

// Usage is what the delays say of the link.
type Usage uint8

const (
	// Normal says that no queue grows.
	Normal Usage = iota
	// Overuse says that one does: the link is too full.
	Overuse
	// Underuse says that one gets shorter.
	Underuse
)

// Meter watches the delays of one way, for one goroutine at a time. The zero Meter is ready; it allocates nothing.
type Meter struct {
	groups groups
	trend  trend
}

// Add takes in a packet that arrived, in the order of sending; what was sent before the last one's group counts for nothing. Times are in
// µs, each on its own side's clock, which need not agree.
func (m *Meter) Add(sentAt, arrivedAt int64, size int) {
	if done, ok := m.groups.add(sentAt, arrivedAt, size); ok {
		m.trend.add(done)
	}
}

// Ready reports whether enough has arrived, without a long pause, for Usage to mean something.
func (m *Meter) Ready() bool { return m.trend.count >= leastGroups }

// Usage says what the link is like.
func (m *Meter) Usage() Usage { return m.trend.state }

// Queue is by how much packets are late, beyond the least delay of the last ten to twenty seconds.
func (m *Meter) Queue() time.Duration {
	return time.Duration(m.trend.queue() * float64(time.Millisecond))
}

// TakeBurst is the rate in bit/s at which the last large burst came through, if there was one since it was last taken: the link's rate,
// for the burst left in no time.
func (m *Meter) TakeBurst() (rate float64, ok bool) {
	rate, m.groups.burst = m.groups.burst, 0
	return rate, rate > 0
}
