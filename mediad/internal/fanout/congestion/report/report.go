// Package report reads transport-wide feedback: which packets arrived, and when (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//
// Package congestion calls it with what viewers send; it keeps nothing and allocates nothing.
package report

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed says that something was no well-formed transport-wide feedback packet. Nothing of it was taken in.
var ErrMalformed = errors.New("malformed transport-wide feedback")

// The packet as draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1 has it, after the common header of RFC 4585 section 6.1.
const (
	packetType = 205
	format     = 15
	fixedPart  = 20 // bytes before the first chunk
	chunkSize  = 2
	deltaTick  = 250 // µs in one unit of a delta
)

// Tick is the unit of a report's reference time, in µs.
const Tick = 64_000

// symbol says what became of a packet (section 3.1.1). Its value is the number of bytes of its delta.
type symbol uint8

const (
	notReceived symbol = iota
	smallDelta
	largeDelta
	reserved
)

// Header is what precedes the chunks. Two reports with equal headers are one that came twice.
type Header struct {
	Base      uint16 // number of the first packet reported on
	Count     int    // of packets, at least 1
	Reference uint32 // 24 bits, in Ticks: the time from which the first arrival is counted
	Number    uint8  // of the report
}

// Report is a feedback packet whose every symbol has been found to have its bytes. It refers to the buffer that was parsed.
type Report struct {
	Header
	chunks []byte // as many as Count needs
	deltas []byte // likewise
}

// Parse reads b, which is one RTCP packet and maybe others behind it. The error is ErrMalformed.
func Parse(b []byte) (Report, error) {
	if len(b) < fixedPart || b[0]>>6 != 2 || b[0]&0x1f != format || b[1] != packetType {
		return Report{}, ErrMalformed
	}
	end := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
	if end > len(b) || end < fixedPart {
		return Report{}, ErrMalformed
	}
	if padded := b[0]&0x20 != 0; padded {
		padding := int(b[end-1])
		if padding == 0 || end-padding < fixedPart {
			return Report{}, ErrMalformed
		}
		end -= padding
	}
	r := Report{Header: Header{
		Base: binary.BigEndian.Uint16(b[12:]), Count: int(binary.BigEndian.Uint16(b[14:])),
		Reference: binary.BigEndian.Uint32(b[16:]) >> 8, Number: b[19],
	}}
	rest := b[fixedPart:end]
	size, deltas := measure(rest, r.Count)
	if r.Count == 0 || size+deltas > len(rest) {
		return Report{}, ErrMalformed
	}
	r.chunks, r.deltas = rest[:size], rest[size:size+deltas]
	return r, nil
}

// Walk goes over what a report tells, in order of the packets' numbers.
type Walk struct {
	statuses statuses
	deltas   []byte
	is       symbol
}

// Walk begins at the packet numbered Base.
func (r *Report) Walk() Walk {
	return Walk{statuses: statuses{chunks: r.chunks, left: r.Count}, deltas: r.deltas}
}

// More reports whether there are packets left.
func (w *Walk) More() bool { return w.statuses.left > 0 }

// Next says of how many packets in a row, maybe none, the same is told: that they were received or not. Of those that were, Delta has to
// be called for each before the next Next.
func (w *Walk) Next() (n int, received bool) {
	n, w.is = w.statuses.next()
	return n, w.is != notReceived
}

// Delta is by how many µs the next packet came after the one before, which may be fewer than none.
func (w *Walk) Delta() int64 {
	d := int64(w.deltas[0])
	if w.is == largeDelta {
		d = int64(int16(binary.BigEndian.Uint16(w.deltas)))
	}
	w.deltas = w.deltas[w.is:]
	return d * deltaTick
}

// measure finds how many bytes of rest are chunks for a count of packets, and how many their deltas need. What does not fit is more than there is.
func measure(rest []byte, count int) (chunks, deltas int) {
	s := statuses{chunks: rest, left: count}
	for s.left > 0 {
		n, is := s.next()
		if n < 0 || is == reserved {
			return len(rest) + 1, 0
		}
		deltas += n * int(is)
	}
	return len(rest) - len(s.chunks), deltas
}

// statuses walks over the chunks.
type statuses struct {
	chunks []byte
	left   int // packets not told of yet
	vector uint16
	bits   uint8 // of each symbol of vector
	inside uint8 // symbols of vector not told of yet
}

// next returns how many packets in a row have the same symbol, which may be 0 of them; -1: the chunks are too short. Call it while
// packets are left.
func (s *statuses) next() (n int, is symbol) {
	if s.inside > 0 {
		return s.one()
	}
	if len(s.chunks) < chunkSize {
		return -1, notReceived
	}
	chunk := binary.BigEndian.Uint16(s.chunks)
	s.chunks = s.chunks[chunkSize:]
	switch {
	case chunk&0x8000 == 0: // a run (section 3.1.3)
		n = min(int(chunk&0x1fff), s.left)
		s.left -= n
		return n, symbol(chunk >> 13 & 3)
	case chunk&0x4000 == 0: // fourteen symbols of one bit (section 3.1.4)
		s.vector, s.bits, s.inside = chunk<<2, 1, 14
	default: // seven of two
		s.vector, s.bits, s.inside = chunk<<2, 2, 7
	}
	return s.one()
}

// one takes the next symbol out of the vector, or all that is left there when nothing more was received.
func (s *statuses) one() (n int, is symbol) {
	n = 1
	if s.vector == 0 {
		n = min(int(s.inside), s.left)
	}
	is = symbol(s.vector >> (16 - s.bits))
	s.vector <<= s.bits
	s.inside -= uint8(n)
	s.left -= n
	return n, is
}
