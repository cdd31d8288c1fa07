package codec

import "encoding/binary"

// Key frames of the codecs that need no renumbering: H264 (RFC 6184), H265 (RFC 7798) and AV1 (AV1 RTP specification, v1.0).

// keyH264 reports whether a decoder may start with b: it holds a sequence parameter set, or begins an IDR picture.
func keyH264(b []byte) bool {
	const stapA, stapB, fuA, fuB = 24, 25, 28, 29
	switch kind := b[0] & 0x1f; kind {
	case stapA:
		return keyAggregate(b[1:], startsH264)
	case stapB:
		return len(b) > 3 && keyAggregate(b[3:], startsH264)
	case fuA, fuB:
		header := 2
		if kind == fuB {
			header = 4
		}
		return len(b) > header && b[1]&0x80 != 0 && startsH264Kind(b[1]&0x1f, b[header])
	default:
		return startsH264(b)
	}
}

func startsH264(nal []byte) bool { return len(nal) > 1 && startsH264Kind(nal[0]&0x1f, nal[1]) }

// startsH264Kind: first is the first byte behind the NAL header; its top bit set means first_mb_in_slice is 0.
func startsH264Kind(kind, first byte) bool {
	const idr, sps = 5, 7
	return kind == sps || kind == idr && first&0x80 != 0
}

// keyH265 reports whether a decoder may start with b: it holds a VPS or SPS, or begins a picture with random access.
func keyH265(b []byte) bool {
	const aggregate, fragment = 48, 49
	if len(b) < 3 {
		return false
	}
	switch b[0] >> 1 & 0x3f {
	case aggregate:
		return keyAggregate(b[2:], startsH265)
	case fragment:
		return len(b) > 3 && b[2]&0x80 != 0 && startsH265Kind(b[2]&0x3f, b[3])
	default:
		return startsH265(b)
	}
}

func startsH265(nal []byte) bool { return len(nal) > 2 && startsH265Kind(nal[0]>>1&0x3f, nal[2]) }

// startsH265Kind: the top bit of first is first_slice_segment_in_pic_flag. 16 to 21 are the pictures with random access.
func startsH265Kind(kind, first byte) bool {
	const vps, sps = 32, 33
	return kind == vps || kind == sps || kind >= 16 && kind <= 21 && first&0x80 != 0
}

// keyAggregate asks starts about each unit of an aggregation packet: 16 bits of size, then the unit.
func keyAggregate(b []byte, starts func([]byte) bool) bool {
	for len(b) > 2 {
		size := int(binary.BigEndian.Uint16(b))
		if size > len(b)-2 {
			return false
		}
		if starts(b[2 : 2+size]) {
			return true
		}
		b = b[2+size:]
	}
	return false
}

// keyAV1 reports whether b begins a new coded video sequence: the N bit says so, or the first unit is a sequence header.
func keyAV1(b []byte) bool {
	const continues, begins, count = 0x80, 0x08, 0x30 // Z, N and W of the aggregation header
	if b[0]&continues != 0 || len(b) < 2 {
		return false
	}
	if b[0]&begins != 0 {
		return true
	}
	n := 1
	if b[0]&count != 0x10 { // unless W is 1, a LEB128 size precedes the first unit
		for n < len(b) && b[n]&0x80 != 0 {
			n++
		}
		n++
	}
	const sequenceHeader = 1
	return n < len(b) && b[n]>>3&0x0f == sequenceHeader
}
