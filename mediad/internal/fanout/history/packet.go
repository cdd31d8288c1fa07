// Package history is the history of a stream: the one copy of each packet that a node keeps.
//
// A fanout.Stream makes one Ring, puts every packet into it and reads from it: in order of arrival for the viewers who are there, from the
// last key frame on for those who join (at the pace of a Replay) and for other nodes, one by one for retransmissions. Nothing here has a
// lock or a goroutine: all of it is guarded by the stream's mutex, and ends with the stream.
package history

import (
	"time"

	"weever/mediad/internal/fanout/codec"
)

// Packet is a parsed RTP packet. Whoever gets one from a stream only borrows it, payload included, until the call returns;
// the payload is shared with all other viewers and must not be changed. The first group of fields is what a producer fills in
// for fanout.Stream.WritePackets; the stream sets the rest, whatever it held before.
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
