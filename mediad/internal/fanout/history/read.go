package history

// Arrivals reads in order of arrival: it fills burst (up to its capacity) with the packets that came n-th, n+1-th and so on, At included,
// and copies their payloads behind dst. It returns both with the arrival of the first packet of burst. That is later than n if what came
// then is lost: reading goes on with the first packet of a frame. The next call is for from+len(burst). n is at most Arrived, and then
// nothing is read.
func (r *Ring) Arrivals(n uint64, burst []Packet, dst []byte) (_ []Packet, _ []byte, from uint64) {
	from = n
	if first := r.firstHeld(n); first > n {
		from = r.frameAfter(first)
	}
	for n = from; n < r.arrived && len(burst) < cap(burst); n++ {
		a := r.arrival(n)
		var p Packet
		var ok bool
		if dst, ok = r.Get(a.index, &p, dst); !ok {
			break // the next call skips it
		}
		p.At = a.at
		burst = append(burst, p)
	}
	return burst, dst, from
}

// firstHeld returns the first arrival, n or later, whose packet can be read.
func (r *Ring) firstHeld(n uint64) uint64 {
	if size := uint64(len(r.order)); r.arrived-n > size {
		n = r.arrived - size
	}
	for n < r.arrived && !r.holds(r.arrival(n).index) {
		n++
	}
	return n
}

// frameAfter returns the first arrival, n or later, that begins a frame, as far as arrivals go.
func (r *Ring) frameAfter(n uint64) uint64 {
	if n == r.arrived {
		return n
	}
	before := r.slot(r.arrival(n).index).timestamp
	for ; n < r.arrived; n++ {
		if r.slot(r.arrival(n).index).timestamp != before {
			break
		}
	}
	return n
}

// Get fills p with the packet of this index, the payload copied behind dst, and returns dst with it; false if it is not held.
func (r *Ring) Get(index uint64, p *Packet, dst []byte) ([]byte, bool) {
	if !r.holds(index) {
		return dst, false
	}
	s := r.slot(index)
	start := len(dst)
	dst = append(dst, r.payload(s)...)
	*p = Packet{
		Seq: uint16(index), Timestamp: s.timestamp, Marker: s.marker, Payload: dst[start:], HasLevel: s.hasLevel, Level: s.level,
		HasOrientation: s.hasOrient, Orientation: s.orientation, Index: index, Desc: s.desc,
	}
	return dst, true
}

// ReadCached fills burst (up to its capacity) with the packets from this index on that are held, in order of index, and copies their payloads
// behind dst. It returns both with the index to go on from. From 0 on it begins where Cached says, and yields 0 if that is nowhere.
func (r *Ring) ReadCached(next uint64, burst []Packet, dst []byte) (_ []Packet, _ []byte, _ uint64) {
	if next == 0 {
		var ok bool
		if next, ok = r.Cached(); !ok {
			return burst, dst, 0
		}
	}
	next = max(next, r.oldest)
	for ; next <= r.newest && len(burst) < cap(burst); next++ {
		if r.holds(next) {
			var p Packet
			dst, _ = r.Get(next, &p, dst)
			burst = append(burst, p)
		}
	}
	return burst, dst, next
}

// Cached returns where a viewer may start: the first packet of the last key frame, if it is not older than the horizon and
// everything since is here.
func (r *Ring) Cached() (index uint64, ok bool) {
	if r.key == 0 || !r.holds(r.key) || int32(r.slot(r.newest).timestamp-r.keyTS) >= int32(r.horizon) {
		return 0, false
	}
	for i := r.key; i <= r.newest; i++ {
		if !r.holds(i) {
			return 0, false
		}
	}
	return r.key, true
}
