package batch

import (
	"encoding/binary"
	"errors"

	"weever/mediad/internal/fanout"
)

// A media message, all numbers big-endian:
//
//	version  1 byte   1
//	number   4 bytes  counts the messages of one sender, from 0: a hole is loss
//	records, each
//	    flags 1 byte
//	    packet (flags bit 7 clear): seq 2, timestamp 4, length 2, level 1 if bit 1, orientation 1 if bit 2, payload
//	    report (flags bit 7 set):   NTP time 8, RTP time 4
//
// What the node that receives can find out again, such as key frames, is not sent.
const (
	wireVersion = 1
	wireHeader  = 5

	flagMarker      = 1 << 0
	flagLevel       = 1 << 1
	flagOrientation = 1 << 2
	flagReport      = 1 << 7

	packetHeader = 9
	reportSize   = 13

	// maxMessage keeps a media message well below the 1 MB that NATS allows and below 64 KB, at which it would hold up others.
	maxMessage = 60 << 10

	// MaxRecords bounds what one message makes its receiver hold.
	MaxRecords = 1024

	// MaxRecord is the most bytes one packet takes in a message.
	MaxRecord = packetHeader + 2 + fanout.MaxPacket
)

// errWire: the message was not made by this version of this program, or is damaged.
var errWire = errors.New("media message cannot be read")

// AppendHeader begins a message.
func AppendHeader(b []byte, number uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, wireVersion), number)
}

// AppendPacket adds a packet to a message.
func AppendPacket(b []byte, p *fanout.Packet) []byte {
	flags := byte(0)
	if p.Marker {
		flags |= flagMarker
	}
	if p.HasLevel {
		flags |= flagLevel
	}
	if p.HasOrientation {
		flags |= flagOrientation
	}
	b = binary.BigEndian.AppendUint16(append(b, flags), p.Seq)
	b = binary.BigEndian.AppendUint32(b, p.Timestamp)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Payload)))
	if p.HasLevel {
		b = append(b, p.Level)
	}
	if p.HasOrientation {
		b = append(b, p.Orientation)
	}
	return append(b, p.Payload...)
}

func appendReport(b []byte, r fanout.SenderReport) []byte {
	b = binary.BigEndian.AppendUint64(append(b, flagReport), r.NTP)
	return binary.BigEndian.AppendUint32(b, r.RTP)
}

// Batch is a decoded message. It is meant to be reused; payloads point into the message.
type Batch struct {
	Number  uint32 // counts the messages of one sender, from 0
	Packets []fanout.Packet
	Reports []fanout.SenderReport
}

// Decode reads msg into b. On error b must not be used.
func (b *Batch) Decode(msg []byte) error {
	if len(msg) < wireHeader || msg[0] != wireVersion {
		return errWire
	}
	b.Number = binary.BigEndian.Uint32(msg[1:])
	b.Packets, b.Reports = b.Packets[:0], b.Reports[:0]
	for msg = msg[wireHeader:]; len(msg) > 0; {
		if len(b.Packets)+len(b.Reports) == MaxRecords {
			return errWire
		}
		if msg[0]&flagReport != 0 {
			if len(msg) < reportSize {
				return errWire
			}
			b.Reports = append(b.Reports, fanout.SenderReport{NTP: binary.BigEndian.Uint64(msg[1:]), RTP: binary.BigEndian.Uint32(msg[9:])})
			msg = msg[reportSize:]
			continue
		}
		p, n := decodePacket(msg)
		if n == 0 {
			return errWire
		}
		b.Packets = append(b.Packets, p)
		msg = msg[n:]
	}
	return nil
}

// decodePacket reads the packet at the start of msg and returns its size, 0 if it is cut short or too long.
func decodePacket(msg []byte) (p fanout.Packet, n int) {
	if len(msg) < packetHeader {
		return p, 0
	}
	p = fanout.Packet{
		Seq: binary.BigEndian.Uint16(msg[1:]), Timestamp: binary.BigEndian.Uint32(msg[3:]),
		Marker: msg[0]&flagMarker != 0, HasLevel: msg[0]&flagLevel != 0, HasOrientation: msg[0]&flagOrientation != 0,
	}
	size := int(binary.BigEndian.Uint16(msg[7:]))
	rest := msg[packetHeader:]
	if len(rest) < int(msg[0]>>1&1+msg[0]>>2&1) { // flagLevel, flagOrientation
		return p, 0
	}
	if p.HasLevel {
		p.Level, rest = rest[0], rest[1:]
	}
	if p.HasOrientation {
		p.Orientation, rest = rest[0], rest[1:]
	}
	if size > len(rest) || size > fanout.MaxPacket {
		return p, 0
	}
	p.Payload = rest[:size:size]
	return p, len(msg) - len(rest) + size
}
