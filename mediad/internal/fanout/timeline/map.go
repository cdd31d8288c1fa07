// Package timeline maps the RTP timestamps of one stream onto those of another that it continues.
package timeline

import "time"

// settled is when, after the end of a replay, nothing of it is asked for again any more.
const settled = 10 * time.Second

// Map is one such mapping, for one goroutine at a time. From its pivot on, output is input plus a constant; before it, in a replay,
// the output's time runs slower by a factor, so that a receiver is not told that seconds of pictures are due at once.
type Map struct {
	offset uint32 // output minus input, from the pivot on
	speed  uint32 // of the replay; 0: no replay
	pivot  uint32 // input timestamp
	after  int32  // ticks after the pivot at which the replay is forgotten
}

// Begin returns the mapping that takes in to out. speed above 1 means that what comes was replayed so many times faster than it was
// made, up to the input timestamp pivot. clock is the rate of both in Hz.
func Begin(in, out uint32, speed uint8, pivot, clock uint32) Map {
	m := Map{offset: out - in}
	if speed > 1 {
		m.speed, m.pivot, m.after = uint32(speed), pivot, int32(clock*uint32(settled/time.Second))
		span := pivot - in
		m.offset -= span - span/m.speed
	}
	return m
}

// Out maps a packet's timestamp.
func (m *Map) Out(in uint32) uint32 {
	if m.speed > 0 {
		switch before := int32(m.pivot - in); {
		case before > 0:
			return m.pivot + m.offset - uint32(before)/m.speed
		case before < -m.after: // forget it before the difference turns its sign, after half a turn of the clock
			m.speed = 0
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
