// Package recording holds what a browser really sent: when each packet came and how large it was, not what was in it.
//
// Package synth plays it, a test in package sidebyside makes it. Nothing here changes once it is read.
package recording

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

//go:embed chromium.rec
var chromium string

// Chromium is the recording that comes with this package: Chromium 156 with a camera of 640 × 480 at 30 frames a second in VP8, and its
// microphone; ten seconds on loopback when its estimate of the network had settled, at 1.7 Mbit/s.
var Chromium = sync.OnceValues(func() (Recording, error) { return Decode([]byte(chromium)) })

// Recording is one publisher.
type Recording struct {
	Video Stream // begins with a key frame and has no other; ends with a frame of which only the time is used
	Audio Stream // likewise one packet longer than what is played
}

// Stream is the packets of one RTP stream in the order they came.
type Stream []Arrival

// Arrival is one packet.
type Arrival struct {
	At        time.Duration // since the first one of the stream, to the microsecond
	Timestamp uint32        // RTP timestamp, since the first one's
	Size      int           // of the payload, in bytes
	Marker    bool
	Key       bool // begins a key frame
}

// magic begins a file; its last digit is the version.
const magic = "WVR1"

// Bits of the number that begins each packet in a file, above which is its size.
const (
	bitMarker = 1 << iota
	bitKey
	bitSame   // the timestamp is that of the packet before
	sizeShift = iota
)

// Largest values taken from a file.
const (
	maxArrivals = 100_000
	maxPayload  = 1400
)

// Encode writes the recording as Decode reads it: about five bytes a packet.
func (r Recording) Encode() []byte {
	b := []byte(magic)
	for _, s := range []Stream{r.Video, r.Audio} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		var last Arrival
		for _, p := range s {
			head := uint64(p.Size) << sizeShift //nolint:gosec // not negative
			for bit, on := range map[uint64]bool{bitMarker: p.Marker, bitKey: p.Key, bitSame: p.Timestamp == last.Timestamp} {
				if on {
					head |= bit
				}
			}
			b = binary.AppendUvarint(b, head)
			b = binary.AppendUvarint(b, uint64((p.At - last.At).Microseconds())) //nolint:gosec // they are in order
			if p.Timestamp != last.Timestamp {
				b = binary.AppendUvarint(b, uint64(p.Timestamp-last.Timestamp))
			}
			last = p
		}
	}
	return b
}

var errBroken = errors.New("the recording is broken")

// Decode reads what Encode wrote. Both streams have something to play, and each picture comes after the one before, or it is an
// error.
func Decode(b []byte) (r Recording, err error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return Recording{}, fmt.Errorf("%w: it does not begin with %s", errBroken, magic)
	}
	b = b[len(magic):]
	for _, s := range []*Stream{&r.Video, &r.Audio} {
		if *s, b, err = decodeStream(b); err != nil {
			return Recording{}, err
		}
	}
	if len(b) > 0 {
		return Recording{}, fmt.Errorf("%w: %d bytes too many", errBroken, len(b))
	}
	return r, nil
}

func decodeStream(b []byte) (s Stream, rest []byte, err error) {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = fmt.Errorf("%w: it ends too early", errBroken)
			b = nil
			return 0
		}
		b = b[n:]
		return v
	}
	count := next()
	if err == nil && (count < 2 || count > maxArrivals) {
		return nil, nil, fmt.Errorf("%w: %d packets, must be 2 to %d", errBroken, count, maxArrivals)
	}
	var last Arrival
	for range count {
		head, gap, step := next(), next(), uint64(0)
		if head&bitSame == 0 {
			step = next()
		}
		if err != nil {
			return nil, nil, err
		}
		size := head >> sizeShift
		timeless := len(s) > 0 && step > 0 && gap == 0 // another picture at the same moment
		if size < 1 || size > maxPayload || gap > uint64(time.Minute.Microseconds()) || uint64(last.Timestamp)+step > 1<<31 || timeless {
			return nil, nil, fmt.Errorf("%w: packet %d has %d bytes, %d µs and %d ticks after the one before", errBroken, len(s), size, gap, step)
		}
		last = Arrival{
			At: last.At + time.Duration(gap)*time.Microsecond, Timestamp: last.Timestamp + uint32(step),
			Size: int(size), Marker: head&bitMarker != 0, Key: head&bitKey != 0,
		}
		s = append(s, last)
	}
	if err == nil && last.Timestamp == 0 {
		err = fmt.Errorf("%w: nothing follows the first picture", errBroken)
	}
	return s, b, err
}
