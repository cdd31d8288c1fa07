package codec

import "encoding/binary"

// This file finds out how large the pictures are, from the payloads that begin key frames: for people and players who choose among
// layers. The fan-out asks it once per key frame.

// Size is the picture's width and height in pixels, as payload announces them; 0, 0 when it does not, or in a way that is not read
// here (H265, AV1, encrypted). Of several spatial layers it is the largest. Payloads are hostile: any bytes are allowed.
func (c Codec) Size(payload []byte) (width, height int) {
	if len(payload) == 0 {
		return 0, 0
	}
	switch c {
	case VP8:
		return sizeVP8(payload)
	case VP9:
		return sizeVP9(payload)
	case H264:
		return sizeH264(payload)
	case Unknown, Audio, H265, AV1:
	}
	return 0, 0
}

// sizeVP8 reads the 14 bits each behind the start code (RFC 6386 section 9.1).
func sizeVP8(b []byte) (width, height int) {
	var d Desc
	if !readVP8(b).Keyframe {
		return 0, 0
	}
	frame := b[d.descriptorVP8(b):]
	if len(frame) < 10 {
		return 0, 0
	}
	return int(binary.LittleEndian.Uint16(frame[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(frame[8:]) & 0x3fff)
}

// sizeVP9 reads the scalability structure, which key frames carry (RFC 9628 section 4.2.1).
func sizeVP9(b []byte) (width, height int) {
	var d Desc
	n, _ := d.descriptorVP9(b)
	if n == 0 || n >= len(b) || b[0]&vp9Structure == 0 || b[0]&(vp9Flexible|vp9Predicted) == vp9Flexible|vp9Predicted {
		return 0, 0 // in flexible mode, references come between
	}
	const sized = 0x10
	structure := b[n]
	last := n + 1 + 4*int(structure>>5) // of the largest layer
	if structure&sized == 0 || last+4 > len(b) {
		return 0, 0
	}
	return int(binary.BigEndian.Uint16(b[last:])), int(binary.BigEndian.Uint16(b[last+2:]))
}

// sizeH264 looks for a sequence parameter set, alone or in an aggregate.
func sizeH264(b []byte) (width, height int) {
	const sps, stapA = 7, 24
	switch b[0] & 0x1f {
	case sps:
		return sizeSPS(b[1:])
	case stapA:
		for b = b[1:]; len(b) > 2; {
			size := int(binary.BigEndian.Uint16(b))
			if size == 0 || size > len(b)-2 {
				break
			}
			if b[2]&0x1f == sps {
				return sizeSPS(b[3 : 2+size])
			}
			b = b[2+size:]
		}
	}
	return 0, 0
}
