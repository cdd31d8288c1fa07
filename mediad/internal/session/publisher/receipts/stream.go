package receipts

import (
	"math"
	"slices"
	"time"

	"github.com/pion/rtcp"
)

// When a missing packet is asked for.
const (
	patience   = 10 * time.Millisecond  // it may only have been overtaken
	askAgain   = 100 * time.Millisecond // and again
	maxAsks    = 10                     // times in all
	maxMissing = 512                    // of one stream; older ones are given up
	maxLost    = 4096                   // of all streams; more are not asked for: nobody who behaves loses as many at once
	maxPairs   = 200                    // of one request, which has to fit into a datagram; pion takes 253
	maxJump    = 1000                   // a larger step in the numbers is a new beginning, and nothing is missing
)

// Stream is the account of one SSRC.
type Stream struct {
	book    *Book
	ssrc    uint32
	clock   float64 // of the timestamps, in Hz
	repeats bool

	begun    bool
	heard    bool  // since the last report
	first    int64 // number, counted on over the wraps
	last     int64 // the highest
	received int64

	expectedBefore, receivedBefore int64 // at the last report

	transit float64 // of the latest packet: arrival less timestamp, in units of the timestamp
	jitter  float64 // RFC 3550 section 6.4.1
	origin  time.Time

	sender   uint32 // middle of the NTP time of the publisher's last report
	senderAt time.Time

	missing []missing // in the order of their numbers
}

// missing is a packet that has not come.
type missing struct {
	number int64
	ask    time.Time // when next
	asked  int
}

// Arrived takes in a packet, and reports whether it is the latest by its number.
func (s *Stream) Arrived(seq uint16, timestamp uint32, now time.Time) bool {
	number := s.number(seq)
	if step := number - s.last; s.begun && (step > maxJump || step < -maxJump) {
		s.restart()
	}
	if !s.begun {
		s.begun, s.first, s.last, s.origin = true, int64(seq), int64(seq), now
		s.received, s.heard = 1, true
		s.transit = s.lag(timestamp, now)
		sooner(&s.book.reportAt, now.Add(reportEvery))
		return true
	}
	s.received++
	s.heard = true
	sooner(&s.book.reportAt, now.Add(reportEvery))
	if number <= s.last {
		s.found(number)
		return false
	}
	s.miss(s.last+1, number, now)
	s.last = number
	s.vary(timestamp, now)
	return true
}

// Repaired takes in that a packet has come after all, in one of another stream (RFC 4588).
func (s *Stream) Repaired(seq uint16) { s.found(s.number(seq)) }

// Reported takes in the publisher's own report.
func (s *Stream) Reported(ntp uint64, now time.Time) {
	s.sender, s.senderAt = uint32(ntp>>16), now //nolint:gosec // the middle of it is meant
}

// number counts on over the wraps, near to the last.
func (s *Stream) number(seq uint16) int64 {
	return s.last + int64(int16(seq-uint16(s.last))) //nolint:gosec // modular
}

// restart forgets the numbers: the publisher has begun anew.
func (s *Stream) restart() {
	s.keep(nil)
	*s = Stream{book: s.book, ssrc: s.ssrc, clock: s.clock, repeats: s.repeats, sender: s.sender, senderAt: s.senderAt}
}

// lag is how late a packet is, in units of the timestamp, from a beginning that does not matter.
func (s *Stream) lag(timestamp uint32, now time.Time) float64 {
	return math.Mod(now.Sub(s.origin).Seconds()*s.clock, 1<<32) - float64(timestamp)
}

// vary takes a packet into the jitter (RFC 3550 appendix A.8).
func (s *Stream) vary(timestamp uint32, now time.Time) {
	transit := s.lag(timestamp, now)
	d := math.Abs(transit - s.transit)
	s.transit = transit
	if d < 1<<31 { // else the timestamps have wrapped, or jumped
		s.jitter += (d - s.jitter) / 16
	}
}

// miss notes the packets from one number up to before another.
func (s *Stream) miss(from, to int64, now time.Time) {
	if !s.repeats || from == to {
		return
	}
	from = max(from, to-maxMissing)
	if over := len(s.missing) + int(to-from) - maxMissing; over > 0 {
		s.keep(slices.Delete(s.missing, 0, over))
	}
	if s.book.missing+int(to-from) > maxLost {
		return
	}
	list := s.missing
	for n := from; n < to; n++ {
		list = append(list, missing{number: n, ask: now.Add(patience)})
	}
	s.keep(list)
	sooner(&s.book.missingAt, now.Add(patience))
}

// found notes that a packet is there.
func (s *Stream) found(number int64) {
	i, ok := slices.BinarySearchFunc(s.missing, number, func(m missing, n int64) int { return int(m.number - n) })
	if ok {
		s.keep(slices.Delete(s.missing, i, i+1))
	}
}

// keep has another list of what is missing from now on.
func (s *Stream) keep(list []missing) {
	s.book.missing += len(list) - len(s.missing)
	s.missing = list
}

// ask asks for what is missing and due.
func (s *Stream) ask(now time.Time) (out []rtcp.Packet) {
	var want []uint16
	s.keep(slices.DeleteFunc(s.missing, func(m missing) bool { return m.asked >= maxAsks && !now.Before(m.ask) }))
	for i := range s.missing {
		m := &s.missing[i]
		if !now.Before(m.ask) {
			m.asked++
			m.ask = now.Add(askAgain)
			want = append(want, uint16(m.number)) //nolint:gosec // modular
		}
		sooner(&s.book.missingAt, m.ask)
	}
	for pairs := range slices.Chunk(rtcp.NackPairsFromSequenceNumbers(want), maxPairs) {
		out = append(out, &rtcp.TransportLayerNack{SenderSSRC: s.book.ssrc, MediaSSRC: s.ssrc, Nacks: pairs})
	}
	return out
}

// report is the stream's block (RFC 3550 section 6.4.1 and appendix A.3).
func (s *Stream) report(now time.Time) rtcp.ReceptionReport {
	s.heard = false
	expected := s.last - s.first + 1
	lost := expected - s.received
	r := rtcp.ReceptionReport{
		SSRC: s.ssrc, LastSequenceNumber: uint32(s.last), Jitter: uint32(s.jitter), //nolint:gosec // modular
		TotalLost: uint32(min(max(lost, 0), 1<<23-1)), //nolint:gosec // in range
	}
	newly := expected - s.expectedBefore
	if gone := newly - (s.received - s.receivedBefore); newly > 0 && gone > 0 {
		r.FractionLost = uint8(min(gone<<8/newly, 255)) //nolint:gosec // in range
	}
	s.expectedBefore, s.receivedBefore = expected, s.received
	if !s.senderAt.IsZero() {
		r.LastSenderReport = s.sender
		r.Delay = uint32(now.Sub(s.senderAt).Seconds() * 65536)
	}
	return r
}
