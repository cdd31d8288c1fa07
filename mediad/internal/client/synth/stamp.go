package synth

import (
	"encoding/binary"
	"time"
)

// stampSize is the length in bytes of a stamp at the end of a payload.
const stampSize = 20

const stampMagic = 0x57564d31 // "WVM1"

// Stamp is what each packet says of itself at the very end of its payload, where no server changes anything and where it can be
// found whatever the codec's headers have become.
type Stamp struct {
	Stream uint32    // the same in all packets of one Source
	Count  uint32    // 0, 1, 2, … in the order of sending
	Sent   time.Time // by the sender's clock, just before it was written
}

// ReadStamp finds the stamp of a payload. ok is false when it was not made by a Source.
func ReadStamp(payload []byte) (s Stamp, ok bool) {
	if len(payload) < stampSize {
		return Stamp{}, false
	}
	b := payload[len(payload)-stampSize:]
	if binary.BigEndian.Uint32(b) != stampMagic {
		return Stamp{}, false
	}
	return Stamp{
		Stream: binary.BigEndian.Uint32(b[4:]),
		Count:  binary.BigEndian.Uint32(b[8:]),
		Sent:   time.Unix(0, int64(binary.BigEndian.Uint64(b[12:]))), //nolint:gosec // both directions agree
	}, true
}

// write puts the stamp at the end of payload, which must be at least stampSize long.
func (s Stamp) write(payload []byte) {
	b := payload[len(payload)-stampSize:]
	binary.BigEndian.PutUint32(b, stampMagic)
	binary.BigEndian.PutUint32(b[4:], s.Stream)
	binary.BigEndian.PutUint32(b[8:], s.Count)
	binary.BigEndian.PutUint64(b[12:], uint64(s.Sent.UnixNano())) //nolint:gosec // both directions agree
}
