package feedback

import "time"

// Sent remembers the last sender reports, to find the round-trip time when a receiver report comes back (RFC 3550 section 6.4.1). The zero
// value is ready; a copy is another memory.
type Sent struct {
	last [4]sent // round and round
	n    int
}

// sent is one of them.
type sent struct {
	mid uint32 // the middle 32 bits of its NTP time
	at  time.Time
}

// Note remembers a sender report with this NTP time that is sent now.
func (s *Sent) Note(ntp uint64) {
	s.last[s.n%len(s.last)] = sent{mid: uint32(ntp >> 16), at: time.Now()}
	s.n++
}

// roundTrip is how long ago the sender report with this middle of its NTP time was sent, without the delay, in 1/65536 s, for which the
// viewer kept it; false if it is not remembered.
func (s *Sent) roundTrip(mid, delay uint32) (rtt time.Duration, ok bool) {
	for _, one := range s.last {
		if mid != 0 && one.mid == mid {
			held := time.Duration(delay) * time.Second >> 16
			rtt, ok = max(time.Since(one.at)-held, time.Microsecond), true
		}
	}
	return rtt, ok
}
