// Package peek reads as much of a packet as it takes to see whose it is. It trusts nothing and allocates nothing, which is why it does not
// leave that to pion's STUN library.
package peek

import (
	"bytes"
	"encoding/binary"
)

// STUN (RFC 8489 section 5): type, length, cookie, transaction, attributes.
const (
	stunCookie   = 0x2112A442
	stunID       = 8      // where the transaction's id stands
	stunUsername = 0x0006 // type of the attribute

	maxAttributes = 32 // looked at: three times what a check has
)

// Types of STUN messages.
const (
	BindingRequest    = 0x0001
	BindingIndication = 0x0011
	BindingSuccess    = 0x0101

	ResponseBit = 0x0100 // set in successes and errors
)

// HeaderSize is that of STUN, in bytes.
const HeaderSize = 20

// ID is the transaction of a STUN message.
type ID = [12]byte

// IsSTUN tells STUN from the rest (RFC 7983 section 7).
func IsSTUN(packet []byte) bool {
	return len(packet) >= HeaderSize && packet[0] < 4 && binary.BigEndian.Uint32(packet[4:]) == stunCookie
}

// Type is the type of a STUN message, as IsSTUN has seen it; so with the next two.
func Type(message []byte) uint16 { return binary.BigEndian.Uint16(message) }

// IDOf is the transaction of a STUN message.
func IDOf(message []byte) ID { return ID(message[stunID:HeaderSize]) }

// Ufrag returns whom a connectivity check is for: the first part of its user name (RFC 8445 section 7.2.2). It returns nil if there is
// none, or if the message is not well-formed as far as that.
func Ufrag(message []byte) []byte {
	size := int(binary.BigEndian.Uint16(message[2:]))
	if size > len(message)-HeaderSize {
		return nil
	}
	rest := message[HeaderSize : HeaderSize+size]
	for i := 0; i < maxAttributes && len(rest) >= 4; i++ {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if n > len(rest)-4 {
			return nil
		}
		if binary.BigEndian.Uint16(rest) == stunUsername {
			ours, _, found := bytes.Cut(rest[4:4+n], []byte{':'})
			if !found {
				return nil
			}
			return ours
		}
		rest = rest[min(len(rest), 4+(n+3)&^3):] // padded to four bytes
	}
	return nil
}

// IsMedia reports whether a packet is SRTP or SRTCP (RFC 7983 section 7), and long enough for the SSRC.
func IsMedia(packet []byte) bool {
	return len(packet) >= 12 && packet[0]&0xc0 == 0x80 || IsFeedback(packet)
}

// IsFeedback reports whether a packet is SRTCP (RFC 7983 section 7, RFC 5761 section 4), and long enough for it.
func IsFeedback(packet []byte) bool {
	return len(packet) >= 8 && packet[0]&0xc0 == 0x80 && packet[1] >= 192 && packet[1] <= 223
}

// Indication is a STUN binding indication. To an ICE agent it means that its peer is there, and nothing else.
func Indication() [HeaderSize]byte {
	var m [HeaderSize]byte
	binary.BigEndian.PutUint16(m[:], BindingIndication)
	binary.BigEndian.PutUint32(m[4:], stunCookie)
	return m
}

// DTLS (RFC 6347 section 4.1): content type, version, epoch, number, length.
const (
	dtlsCipherChange = 20
	dtlsHandshake    = 22
	dtlsHeader       = 13
)

// IsDTLS tells DTLS from the rest (RFC 7983 section 7).
func IsDTLS(packet []byte) bool {
	return len(packet) >= dtlsHeader && packet[0] >= 20 && packet[0] < 64
}

// Epoch is that of the first record of a DTLS packet, as IsDTLS has seen it.
func Epoch(packet []byte) uint16 { return binary.BigEndian.Uint16(packet[3:]) }

// InTheClear reports whether a DTLS packet has a record that is neither protected nor part of a handshake that may be repeated, or that is
// not one.
func InTheClear(packet []byte) bool {
	for len(packet) > 0 {
		if len(packet) < dtlsHeader {
			return true
		}
		if Epoch(packet) == 0 && packet[0] != dtlsHandshake && packet[0] != dtlsCipherChange {
			return true
		}
		size := dtlsHeader + int(binary.BigEndian.Uint16(packet[11:]))
		if size > len(packet) {
			return true
		}
		packet = packet[size:]
	}
	return false
}
