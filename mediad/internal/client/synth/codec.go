package synth

import (
	"encoding/binary"
	"strings"
)

// Codec is a media type as SDP has it.
type Codec string

// The codecs that can be imitated.
const (
	VP8  Codec = "video/VP8"
	VP9  Codec = "video/VP9"
	H264 Codec = "video/H264"
	AV1  Codec = "video/AV1"
	Opus Codec = "audio/opus"
)

// Kind is "video" or "audio".
func (c Codec) Kind() string {
	kind, _, _ := strings.Cut(string(c), "/")
	return kind
}

// Clock is the RTP clock rate in Hz.
func (c Codec) Clock() uint32 {
	if c == Opus {
		return 48000
	}
	return 90000
}

const width, height = 640, 480 // what the key frames claim, unless they are told to shrink it

// overhead is the room that a codec's headers need at the head of any payload, and a little data behind them.
const overhead = 40

// Parameter sets of H264 (constrained baseline) and the sequence header of AV1, as an encoder wrote them.
const (
	h264SPS     = "\x67\x42\x00\x0a\xf8\x41\xa2"
	h264PPS     = "\x68\xce\x38\x80"
	av1Sequence = "\x08\x00\x00\x00\x24\xcf\x7f\x0d\xbf\xff\x30\x08"
)

// place says which packet of which frame a payload is for.
type place struct {
	key     bool
	picture uint16 // number of the frame, for codecs that carry it
	i, n    int    // packet i of n
	shrink  int    // so often is the size that a key frame claims halved
}

func (p place) first() bool { return p.i == 0 }
func (p place) last() bool  { return p.i == p.n-1 }

// writeHeaders writes what a parser looks at to the head of payload. The rest of payload is left as it is.
func writeHeaders(c Codec, payload []byte, p place) {
	switch c {
	case VP8:
		writeVP8(payload, p)
	case VP9:
		writeVP9(payload, p)
	case H264:
		writeH264(payload, p)
	case AV1:
		writeAV1(payload, p)
	case Opus:
		payload[0] = 31<<3 | 1<<2 // RFC 6716 section 3.1: CELT, full band, 20 ms; stereo; one frame
	}
}

// writeVP8 follows RFC 7741 sections 4.2 and 4.3, with a picture id of 15 bits.
func writeVP8(b []byte, p place) {
	b[0] = 0x80 | bit(p.first(), 0x10)
	b[1] = 0x80
	binary.BigEndian.PutUint16(b[2:], p.picture|0x8000)
	if !p.first() {
		return
	}
	firstPartition := uint32(1000)
	tag := firstPartition<<5 | 1<<4 // shown
	if !p.key {
		tag |= 1
	}
	b[4], b[5], b[6] = byte(tag), byte(tag>>8), byte(tag>>16)
	if p.key {
		copy(b[7:], "\x9d\x01\x2a")
		binary.LittleEndian.PutUint16(b[10:], width>>p.shrink)
		binary.LittleEndian.PutUint16(b[12:], height>>p.shrink)
	}
}

// writeVP9 follows RFC 9628 section 4.2 in non-flexible mode, with a scalability structure on key frames.
func writeVP9(b []byte, p place) {
	structure := p.key && p.first()
	b[0] = 0x80 | bit(!p.key, 0x40) | bit(p.first(), 0x08) | bit(p.last(), 0x04) | bit(structure, 0x02)
	binary.BigEndian.PutUint16(b[1:], p.picture|0x8000)
	head := b[3:]
	if structure {
		head[0] = 0x10 // one spatial layer, with its size
		binary.BigEndian.PutUint16(head[1:], width>>p.shrink)
		binary.BigEndian.PutUint16(head[3:], height>>p.shrink)
		head = head[5:]
	}
	if p.first() {
		head[0] = 0x82 | bit(!p.key, 0x04) // frame marker, profile 0, shown
		if p.key {
			copy(head[1:], "\x49\x83\x42")
		}
	}
}

// writeH264 follows RFC 6184: key frames are a STAP-A with SPS, PPS and SEI before FU-As of the IDR slice.
func writeH264(b []byte, p place) {
	slice, importance := byte(1), byte(0x40)
	from := 0 // the packet in which the slice begins
	if p.key {
		slice, importance = 5, 0x60
		from = min(1, p.n-1)
	}
	if p.key && p.first() {
		b[0] = 0x60 | 24
		rest := stapUnit(b[1:], h264SPS)
		rest = stapUnit(rest, h264PPS)
		binary.BigEndian.PutUint16(rest, uint16(len(rest)-2))
		rest[2] = 6 // SEI: the rest of the packet
		if p.n == 1 {
			rest[2] = 0x60 | 5 // or the whole picture
		}
		return
	}
	if p.n-from == 1 {
		b[0] = importance | slice
		b[1] = 0x9a
		return
	}
	b[0] = importance | 28
	b[1] = slice | bit(p.i == from, 0x80) | bit(p.last(), 0x40)
	b[2] = 0x9a
}

func stapUnit(b []byte, nal string) (rest []byte) {
	binary.BigEndian.PutUint16(b, uint16(len(nal)))
	return b[2+copy(b[2:], nal):]
}

// writeAV1 follows the RTP payload format for AV1, section 4.
func writeAV1(b []byte, p place) {
	newSequence := p.key && p.first()
	b[0] = bit(!p.first(), 0x80) | bit(!p.last(), 0x40) | bit(newSequence, 0x08)
	if !newSequence {
		b[0] |= 1 << 4 // one OBU element
		if p.first() {
			b[1], b[2] = 0x30, 0x30 // OBU_FRAME; an inter frame, shown
		}
		return
	}
	b[0] |= 2 << 4 // two OBU elements, the first with its length
	b[1] = byte(len(av1Sequence))
	n := 2 + copy(b[2:], av1Sequence)
	b[n], b[n+1] = 0x30, 0x10 // OBU_FRAME; a key frame, shown
}

func bit(on bool, mask byte) byte {
	if on {
		return mask
	}
	return 0
}

// StartsKeyFrame reports whether payload is one with which a decoder of the codec can begin: the first packet of a key frame,
// any packet of audio. It trusts nothing in payload.
func StartsKeyFrame(c Codec, payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	switch c {
	case VP8:
		return vp8Key(payload)
	case VP9: // begins a frame, predicts from none, lowest spatial layer
		lowest := payload[0]&0x20 == 0 || vp9Lowest(payload)
		return payload[0]&0x08 != 0 && payload[0]&0x40 == 0 && lowest
	case H264:
		return h264Key(payload)
	case AV1:
		return payload[0]&0x88 == 0x08
	case Opus:
		return true
	}
	return false
}

func vp8Key(b []byte) bool {
	if b[0]&0x1f != 0x10 { // begins partition 0
		return false
	}
	n := 1
	if b[0]&0x80 != 0 {
		if len(b) < 3 {
			return false
		}
		extensions := b[1]
		n = 2
		if extensions&0x80 != 0 {
			n += 1 + int(b[2]>>7)
		}
		if extensions&0x40 != 0 {
			n++
		}
		if extensions&0x30 != 0 {
			n++
		}
	}
	return len(b) > n && b[n]&1 == 0
}

// vp9Lowest reads the layer indices that follow the picture id.
func vp9Lowest(b []byte) bool {
	n := 1
	if b[0]&0x80 != 0 {
		if len(b) < 2 {
			return false
		}
		n += 1 + int(b[1]>>7)
	}
	return len(b) > n && b[n]&0x0e == 0
}

func h264Key(b []byte) bool {
	switch b[0] & 0x1f {
	case 5, 7:
		return true
	case 24:
		for b = b[1:]; len(b) > 2; {
			size := int(binary.BigEndian.Uint16(b))
			if t := b[2] & 0x1f; size > 0 && (t == 5 || t == 7) {
				return true
			}
			b = b[min(2+size, len(b)):]
		}
	case 28:
		return len(b) > 1 && b[1]&0x80 != 0 && b[1]&0x1f == 5
	}
	return false
}
