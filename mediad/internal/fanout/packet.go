// Package fanout copies one stream of RTP packets to its viewers.
//
//	publisher's track ─ WriteRTP ─┐                        ┌→ down.Track (one viewer) …
//	                              ├→ Stream: history ring ─┤
//	relay (other node) WritePackets┘  one copy per node    └→ relay (to other nodes)
//
// A Stream belongs to whoever reads the packets: the session of a publisher, or the relay for a publisher of another node. It knows
// no HTTP, Redis or NATS. Upwards goes one thing only, the wish for a key frame. Everything is measured in packets of one layer of
// one track: a publisher with three simulcast layers has three Streams.
package fanout

import (
	"time"

	"weever/mediad/internal/fanout/codec"
	"weever/mediad/internal/udpio"
)

// MaxPacket is the longest RTP packet taken from a publisher, in bytes: more would not leave again in one Ethernet frame.
const MaxPacket = 1500

// Packet is a parsed RTP packet. Whoever gets one from a Stream only borrows it, payload included, until the call returns;
// the payload is shared with all other viewers and must not be changed. The first group of fields is what a producer fills in
// for WritePackets; the Stream sets the rest, whatever it held before.
type Packet struct {
	Seq       uint16 // as the publisher numbered it
	Timestamp uint32
	Marker    bool
	Payload   []byte // without padding; empty for a packet that was nothing but padding

	// The header extensions that travel: see package headerext.
	HasLevel, HasOrientation bool
	Level                    uint8 // RFC 6464 section 3: V flag and level
	Orientation              uint8 // 3GPP TS 26.114 section 7.4.5: CVO

	Index uint64     // Seq counted on without wrapping; never 0, equal to Seq modulo 65536
	Desc  codec.Desc // what the payload's first bytes say
	At    time.Time  // when this node got it, with the monotonic clock
	Speed uint8      // > 1: replayed from the history, this many times faster than it was sent
	Pivot uint32     // when Speed > 1: the timestamp at which the replay will have caught up with the live packets
	Pad   uint8      // bytes of padding with which the packet is as long as its neighbours in the burst
}

// SenderReport is the part of an RTCP sender report that survives a hop: one instant on two clocks (RFC 3550 section 6.4.1).
type SenderReport struct {
	NTP uint64 // the publisher's wall clock, 32.32 fixed point
	RTP uint32 // the same instant as an RTP timestamp of the stream
}

// Sink takes what a Stream hands out.
//
// WritePackets gets the packets that arrived together, in order of arrival (which is not always order of sequence), at least one, and
// the batch in which to send them, which is flushed afterwards; nil: to be sent one by one.
// Neither method may block or call back into the Stream with a lock held that its own methods need; both are called by one
// goroutine at a time. A call that was already under way may still end after detach has returned.
type Sink interface {
	WritePackets(out *udpio.Batch, burst []Packet)
	WriteReport(r SenderReport)
}
