package codec

// The payload descriptors of VP8 (RFC 7741 section 4.2) and VP9 (RFC 9628 section 4.2): where a frame begins, and the running
// numbers that a receiver expects to go on by one, whatever stream the packets come from.

// readVP8 reads the descriptor and the first bytes of the frame header. A key frame is believed only with its start code, so that
// an encrypted frame is not taken for one by chance.
func readVP8(b []byte) Desc {
	var d Desc
	n := d.descriptorVP8(b)
	if n == 0 {
		return Desc{}
	}
	begins := b[0]&0x17 == 0x10 // S set and partition 0
	// RFC 6386 section 9.1: bit 0 clear means key frame, three bytes of tag, then the start code.
	d.Keyframe = begins && len(b) >= n+6 && b[n]&1 == 0 && b[n+3] == 0x9d && b[n+4] == 0x01 && b[n+5] == 0x2a
	return d
}

// descriptorVP8 reads the descriptor and returns the offset of the frame, 0 when the payload ends before it.
func (d *Desc) descriptorVP8(b []byte) int {
	n := 1
	if b[0]&0x80 != 0 { // X
		if len(b) < 2 {
			return 0
		}
		flags := b[1]
		n = 2
		if flags&0x80 != 0 { // I
			if n = d.readPicture(b, n); n == 0 {
				return 0
			}
		}
		if flags&0x40 != 0 { // L
			d.tl0 = uint8(n)
			n++
		}
		if flags&0x30 != 0 { // T or K share one byte
			if flags&0x10 != 0 {
				d.key = uint8(n)
			}
			n++
		}
	}
	if n > len(b) {
		return 0
	}
	return n
}

// Bits of the first byte of a VP9 descriptor.
const vp9Picture, vp9Predicted, vp9Layers, vp9Flexible, vp9Begins, vp9Structure = 0x80, 0x40, 0x20, 0x10, 0x08, 0x02

// readVP9 reads the descriptor. Its numbers are the picture id and, in non-flexible mode, TL0PICIDX.
func readVP9(b []byte) Desc {
	var d Desc
	n, spatial := d.descriptorVP9(b)
	if n == 0 {
		return Desc{}
	}
	d.Keyframe = b[0]&vp9Predicted == 0 && b[0]&vp9Begins != 0 && spatial == 0 && n < len(b)
	return d
}

// descriptorVP9 reads the descriptor up to the layer indices and returns the offset behind them, 0 when the payload ends before, and
// the spatial layer.
func (d *Desc) descriptorVP9(b []byte) (n int, spatial uint8) {
	n = 1
	if b[0]&vp9Picture != 0 {
		if n = d.readPicture(b, n); n == 0 {
			return 0, 0
		}
	}
	if b[0]&vp9Layers != 0 {
		if n >= len(b) {
			return 0, 0
		}
		spatial = b[n] >> 1 & 7
		n++
		if b[0]&vp9Flexible == 0 {
			if n >= len(b) {
				return 0, 0
			}
			d.tl0 = uint8(n)
			n++
		}
	}
	return n, spatial
}

// readPicture notes the picture id at offset n and returns the offset behind it, 0 when the payload ends inside.
func (d *Desc) readPicture(b []byte, n int) int {
	if n >= len(b) {
		return 0
	}
	d.picture = uint8(n)
	if b[n]&0x80 == 0 {
		return n + 1
	}
	if n+1 >= len(b) {
		return 0
	}
	d.wide = true
	return n + 2
}

// Numbers are the running numbers of one payload. Has says which of them the payload carries.
type Numbers struct {
	Picture uint16 // picture id, 15 bits; of a 7-bit id the low 7
	TL0     uint8  // TL0PICIDX
	Key     uint8  // KEYIDX, 5 bits
	Has     bool   // the payload has a picture id
}

// Numbers returns the running numbers of payload, which must be the one d was read from (or a copy).
func (d Desc) Numbers(payload []byte) Numbers {
	var n Numbers
	if d.picture != 0 {
		n.Has = true
		n.Picture = uint16(payload[d.picture] & 0x7f)
		if d.wide {
			n.Picture = n.Picture<<8 | uint16(payload[d.picture+1])
		}
	}
	if d.tl0 != 0 {
		n.TL0 = payload[d.tl0]
	}
	if d.key != 0 {
		n.Key = payload[d.key] & 0x1f
	}
	return n
}

// Shift is what to add to the numbers of one stream so that they continue another's. The zero value changes nothing.
type Shift struct {
	picture  uint16
	tl0, key uint8
}

// ShiftAfter returns the shift that makes first the successor of last; without a picture id on both sides it is the zero Shift.
func ShiftAfter(last, first Numbers) Shift {
	if !last.Has || !first.Has {
		return Shift{}
	}
	return Shift{picture: last.Picture + 1 - first.Picture, tl0: last.TL0 + 1 - first.TL0, key: last.Key + 1 - first.Key}
}

// Moves reports whether Apply would have to change a payload described by d: only then need the caller copy it.
func (s Shift) Moves(d Desc) bool {
	return s != Shift{} && (d.picture|d.tl0|d.key) != 0
}

// Apply adds s to the numbers in payload, in place. Payload must be the caller's own copy of the one d was read from.
func (s Shift) Apply(d Desc, payload []byte) {
	switch n := d.Numbers(payload); {
	case d.picture == 0:
	case d.wide:
		id := (n.Picture + s.picture) & 0x7fff
		payload[d.picture], payload[d.picture+1] = 0x80|byte(id>>8), byte(id)
	default:
		payload[d.picture] = byte(n.Picture+s.picture) & 0x7f
	}
	if d.tl0 != 0 {
		payload[d.tl0] += s.tl0
	}
	if d.key != 0 {
		b := payload[d.key]
		payload[d.key] = b&0xe0 | (b+s.key)&0x1f
	}
}
