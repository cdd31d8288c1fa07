// Package loudness follows how loud a stream is, by the levels that its packets carry (RFC 6464).
//
// A fan-out Stream owns a Meter and guards it with its own lock. It is a few integer operations for each packet.
package loudness

import "time"

// Silence is the level of nothing at all, in -dBov.
const Silence = 127

// How the Meter turns to what comes: within a fifth of a second to a louder sound, within a second to a softer one, so that the pauses
// between words do not count. A packet is 20 ms, as a rule.
const (
	rise  = 4
	fall  = 16
	fine  = 8           // bits behind the point
	stale = time.Second // without a packet: muted, away or gone; discontinuous Opus sends one in 400 ms
)

// Meter is the loudness of one stream. The zero value has heard nothing.
type Meter struct {
	loud int32 // above silence, in dB with fine bits behind the point
	at   time.Time
}

// Add takes in what one packet carries: RFC 6464's byte, whose upper bit is no part of the level.
func (m *Meter) Add(level uint8, at time.Time) {
	if at.Sub(m.at) > stale {
		m.loud = 0
	}
	m.at = at
	if d := int32(Silence-level&0x7f)<<fine - m.loud; d > 0 {
		m.loud += d / rise
	} else {
		m.loud += d / fall
	}
}

// Level is the loudness at a moment, in -dBov: 0 is loudest, 127 silence.
func (m *Meter) Level(now time.Time) uint8 {
	if now.Sub(m.at) > stale {
		return Silence
	}
	return uint8(Silence - (m.loud+1<<(fine-1))>>fine) //nolint:gosec // between 0 and 127, as all that was added
}
