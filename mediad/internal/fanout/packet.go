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
	"weever/mediad/internal/fanout/history"
	"weever/mediad/internal/udpio"
)

// MaxPacket is the longest RTP packet taken from a publisher, in bytes: more would not leave again in one Ethernet frame.
const MaxPacket = 1500

// Packet is a parsed RTP packet, as its stream's history keeps it.
type Packet = history.Packet

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
