// Package fanout copies one stream of RTP packets to its viewers.
//
//	publisher's track ─ Parse ─┐                        ┌→ down.Track (one viewer) …
//	                           ├→ Stream: history ring ─┤
//	relay (other node) ────────┘   one copy per node    └→ relay (to other nodes)
//
// A Stream belongs to whoever reads the packets: the session of a publisher, or the relay for a publisher of another node. It knows
// no HTTP, Redis or NATS. Upwards goes one thing only, the wish for a key frame. Everything is measured in packets of one layer of
// one track: a publisher with three simulcast layers has three Streams.
package fanout

import (
	"errors"
	"fmt"

	"github.com/pion/rtp"

	"weever/mediad/internal/fanout/headerext"
	"weever/mediad/internal/fanout/history"
	"weever/mediad/internal/udpio"
)

// MaxPacket is the longest RTP packet taken from a publisher, in bytes: more would not leave again in one Ethernet frame.
const MaxPacket = 1500

// Packet is a parsed RTP packet, as its stream's history keeps it.
type Packet = history.Packet

// Errors of Parse.
var (
	ErrMalformed = errors.New("malformed RTP packet")
	ErrOversized = errors.New("oversized RTP packet")
)

// Parse validates a packet as it came from the network (RFC 3550 section 5.1, RFC 8285 section 4). Header is where it is read into; what is
// returned refers to raw. ids are the publisher's header extensions. The error is ErrMalformed or ErrOversized.
func Parse(header *rtp.Header, raw []byte, ids headerext.IDs) (Packet, error) {
	if len(raw) > MaxPacket {
		return Packet{}, fmt.Errorf("%w: %d bytes are more than %d", ErrOversized, len(raw), MaxPacket)
	}
	n, err := header.Unmarshal(raw)
	switch {
	case err != nil:
		return Packet{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	case header.Version != 2:
		return Packet{}, fmt.Errorf("%w: version %d", ErrMalformed, header.Version)
	}
	end := len(raw)
	if header.Padding {
		if pad := int(raw[end-1]); pad == 0 || pad > end-n {
			return Packet{}, fmt.Errorf("%w: %d bytes of padding in %d of payload", ErrMalformed, pad, end-n)
		}
		end -= int(raw[end-1])
	}
	p := Packet{Seq: header.SequenceNumber, Timestamp: header.Timestamp, Marker: header.Marker, Payload: raw[n:end]}
	if ids.Level != 0 {
		if v := header.GetExtension(ids.Level); len(v) > 0 {
			p.HasLevel, p.Level = true, v[0]
		}
	}
	if ids.Orientation != 0 {
		if v := header.GetExtension(ids.Orientation); len(v) > 0 {
			p.HasOrientation, p.Orientation = true, v[0]
		}
	}
	return p, nil
}

// SenderReport is the part of an RTCP sender report that survives a hop: one instant on two clocks (RFC 3550 section 6.4.1).
type SenderReport struct {
	NTP uint64 // the publisher's wall clock, 32.32 fixed point
	RTP uint32 // the same instant as an RTP timestamp of the stream
}

// Sink takes what a Stream hands out.
//
// WritePackets gets the packets that arrived together, in order of arrival (which is not always order of sequence), at least one.
// Both get the batch in which to send, which is flushed afterwards; nil: to be sent one by one.
// Neither method may block or call back into the Stream with a lock held that its own methods need; both are called by one
// goroutine at a time. A call that was already under way may still end after detach has returned.
type Sink interface {
	WritePackets(out *udpio.Batch, burst []Packet)
	WriteReport(out *udpio.Batch, r SenderReport)
}
