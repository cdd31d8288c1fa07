// Package feedback reads what a viewer reports of one track over RTCP.
//
// A down.Track hands it compound packets as they come from the network, which may be anything, and acts on what it returns. It has no
// lock: the track's guards it.
package feedback

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"time"

	"github.com/pion/rtcp"
)

// maxNacks is how many entries of one request are looked at, each of 17 packets: more is not asked for in earnest.
const maxNacks = 64

// Kind is what a packet asks for or tells.
type Kind uint8

// The kinds; all others are Other.
const (
	Other    Kind = iota
	Nack          // packets are to be sent again (RFC 4585 section 6.2.1)
	Keyframe      // a key frame is wanted
	Report        // how reception is (RFC 3550 section 6.4.2)
)

// Reader reads the packets about one SSRC. What it needs for that is reused: reading allocates nothing in the steady state.
type Reader struct {
	nack   rtcp.TransportLayerNack
	report rtcp.ReceiverReport
}

// Packets yields the packets of a compound one, which it borrows, up to where that ends or is broken.
func Packets(b []byte) iter.Seq2[Kind, []byte] {
	return func(yield func(Kind, []byte) bool) {
		for len(b) >= 4 {
			var h rtcp.Header
			size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
			if h.Unmarshal(b) != nil || size > len(b) || !yield(kindOf(h), b[:size]) {
				return
			}
			b = b[size:]
		}
	}
}

func kindOf(h rtcp.Header) Kind {
	switch {
	case h.Type == rtcp.TypeTransportSpecificFeedback && h.Count == rtcp.FormatTLN:
		return Nack
	case h.Type == rtcp.TypePayloadSpecificFeedback && (h.Count == rtcp.FormatPLI || h.Count == rtcp.FormatFIR):
		return Keyframe
	case h.Type == rtcp.TypeReceiverReport:
		return Report
	}
	return Other
}

// WantsKeyframe reads a packet of kind Keyframe: a PLI (RFC 4585 section 6.3.1) or FIR (RFC 5104 section 4.3.1), whose subject is in its
// entries. It reports whether ssrc is meant.
func WantsKeyframe(packet []byte, ssrc uint32) bool {
	if packet[0]&0x1f == rtcp.FormatPLI {
		return len(packet) >= 12 && binary.BigEndian.Uint32(packet[8:]) == ssrc
	}
	for i := 12; i+8 <= len(packet); i += 8 {
		if binary.BigEndian.Uint32(packet[i:]) == ssrc {
			return true
		}
	}
	return false
}

// Nacks reads a packet of kind Nack: what is to be sent again, bounded, valid until the next call, and how many packets more were asked
// for; false if it is not about ssrc.
func (r *Reader) Nacks(packet []byte, ssrc uint32) (list []rtcp.NackPair, more int, mine bool) {
	n := &r.nack
	n.Nacks = n.Nacks[:0]
	if n.Unmarshal(packet) != nil || n.MediaSSRC != ssrc {
		return nil, 0, false
	}
	list = n.Nacks[:min(len(n.Nacks), maxNacks)]
	for _, pair := range n.Nacks[len(list):] {
		more += 1 + bits.OnesCount16(uint16(pair.LostPackets))
	}
	return list, more, true
}

// Quality is what a viewer reported last.
type Quality struct {
	Lost         uint32        // packets, cumulative (RFC 3550 section 6.4.1)
	FractionLost float64       // since the report before, 0 to 1
	Jitter       time.Duration // as the viewer measures it
	RTT          time.Duration // 0: not known yet
}

// Report reads a packet of kind Report and notes in q what it says of ssrc, whose RTP clock runs at this rate, in Hz (0: not known)
// and whose sender reports are in sent.
func (r *Reader) Report(packet []byte, ssrc, clock uint32, sent *Sent, q *Quality) {
	rr := &r.report
	rr.Reports = rr.Reports[:0]
	err := rr.Unmarshal(packet)
	rr.ProfileExtensions = nil // do not keep the caller's buffer
	if err != nil {
		return
	}
	for _, r := range rr.Reports {
		if r.SSRC != ssrc {
			continue
		}
		q.Lost, q.FractionLost = r.TotalLost, float64(r.FractionLost)/256
		if clock > 0 {
			q.Jitter = time.Duration(float64(r.Jitter) / float64(clock) * float64(time.Second))
		}
		if rtt, ok := sent.roundTrip(r.LastSenderReport, r.Delay); ok {
			q.RTT = rtt
		}
	}
}
