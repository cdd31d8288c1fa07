package codec

// Of an H264 sequence parameter set (ITU-T H.264 section 7.3.2.1.1) only what leads to the size of the picture is read.

// maxSide bounds what is believed, in pixels: level 6.2 ends below.
const maxSide = 16384

// sizeSPS reads a parameter set behind its NAL header; 0, 0 when it ends too early or makes no sense.
func sizeSPS(nal []byte) (width, height int) {
	r := bits{data: nal}
	profile := r.u(8)
	r.u(16) // constraints and level
	r.ue()  // id
	chroma := uint(1)
	switch profile {
	case 44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244:
		chroma = r.ue()
		if chroma == 3 {
			r.u(1)
		}
		r.ue() // bit depths
		r.ue()
		r.u(1)
		r.scalingMatrix(chroma)
	}
	r.ue() // frame numbers
	r.pictureOrder()
	r.ue() // reference frames
	r.u(1)
	width, height = int(r.ue()+1)*16, int(r.ue()+1)*16
	frames := r.u(1) // 0: fields, each of half the height
	if frames == 0 {
		height *= 2
		r.u(1)
	}
	r.u(1)
	if r.u(1) == 1 {
		unitX, unitY := 1, 2-int(frames)
		switch chroma {
		case 1:
			unitX, unitY = 2, 2*unitY
		case 2:
			unitX = 2
		}
		left, right, top, bottom := r.ue(), r.ue(), r.ue(), r.ue()
		width -= unitX * int(left+right)
		height -= unitY * int(top+bottom)
	}
	if r.bad || width <= 0 || height <= 0 || width > maxSide || height > maxSide {
		return 0, 0
	}
	return width, height
}

// bits reads a NAL unit bit by bit, without its emulation prevention bytes. Behind the end it reads zeros and is bad.
type bits struct {
	data []byte
	at   int  // bits read of data[0]
	zero int  // zero bytes just passed
	bad  bool // a number made no sense, or data ended
}

func (r *bits) u(n int) (v uint) {
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

func (r *bits) bit() uint {
	if r.at == 0 && r.zero >= 2 && len(r.data) > 0 && r.data[0] == 3 {
		r.data, r.zero = r.data[1:], 0
	}
	if len(r.data) == 0 {
		r.bad = true
		return 0
	}
	v := uint(r.data[0]>>(7-r.at)) & 1
	if r.at++; r.at == 8 {
		if r.data[0] == 0 {
			r.zero++
		} else {
			r.zero = 0
		}
		r.data, r.at = r.data[1:], 0
	}
	return v
}

// ue reads an unsigned Exp-Golomb number (section 9.1) of at most 16 bits, which is enough for all that is read here.
func (r *bits) ue() uint {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; zeros > 16 || r.bad {
			r.bad = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.u(zeros)
}

// skipSigned passes a signed number, which may be as long as 32 bits, and returns it as far as 16 bits go.
func (r *bits) skipSigned() int {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; zeros > 32 || r.bad {
			r.bad = true
			return 0
		}
	}
	v := 1<<zeros - 1 + r.u(zeros)
	if v&1 == 0 {
		return -int(v / 2)
	}
	return int(v/2) + 1
}

// scalingMatrix passes the scaling lists (section 7.3.2.1.1.1).
func (r *bits) scalingMatrix(chroma uint) {
	if r.u(1) == 0 {
		return
	}
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if r.u(1) == 0 {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		next := 8
		for last, j := 8, 0; j < size && next != 0 && !r.bad; j++ {
			if next = (last + r.skipSigned() + 256) & 0xff; next != 0 {
				last = next
			}
		}
	}
}

// pictureOrder passes what is said of the order of pictures.
func (r *bits) pictureOrder() {
	switch r.ue() {
	case 0:
		r.ue()
	case 1:
		r.u(1)
		r.skipSigned()
		r.skipSigned()
		for n := r.ue(); n > 0 && !r.bad; n-- {
			r.skipSigned()
		}
	}
}
