// Package timeline maps the RTP timestamps of one stream onto those of another that it continues.
package timeline

import "time"

// Map is one such mapping, for one goroutine at a time. From its pivot on, output is input plus a constant; before it, in a replay,
// the output's time runs slower by a factor, so that a receiver is not told that seconds of pictures are due at once.
//
// What was mapped once is mapped the same way whenever it is asked for again, whatever timestamps a publisher may write: a packet that is
// encrypted twice must be the same twice.
type Map struct {
	offset uint32 // output minus input, from the pivot on
	speed  uint32 // of the replay; 0: no replay
	pivot  uint32 // input timestamp
	newest uint64 // highest index mapped
	until  uint64 // index from which on the replay is over; 0: it is not
}

// Begin returns the mapping that takes in to out. speed above 1 means that what comes was replayed so many times faster than it was
// made, up to the input timestamp pivot.
func Begin(in, out uint32, speed uint8, pivot uint32) Map {
	m := Map{offset: out - in}
	if speed > 1 {
		m.speed, m.pivot = uint32(speed), pivot
		span := pivot - in
		m.offset -= span - span/m.speed
	}
	return m
}

// Out maps the timestamp of the packet with this index, which counts a stream's packets without wrapping.
func (m *Map) Out(index uint64, in uint32) uint32 {
	m.newest = max(m.newest, index)
	if m.speed > 0 && (m.until == 0 || index < m.until) {
		if before := int32(m.pivot - in); before > 0 {
			return m.pivot + m.offset - uint32(before)/m.speed
		}
		if m.until == 0 {
			m.until = m.newest + 1
		}
	}
	return in + m.offset
}

// Live maps the timestamp of a moment, as in a sender report, whether or not a replay has caught up with it.
func (m *Map) Live(in uint32) uint32 { return in + m.offset }

// Later returns ts advanced by the time passed, at least by so many ticks.
func Later(ts uint32, passed time.Duration, clock, least uint32) uint32 {
	ticks := max(passed.Seconds(), 0) * float64(clock)
	return ts + max(uint32(uint64(ticks)), least)
}
