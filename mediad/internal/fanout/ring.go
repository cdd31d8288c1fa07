package fanout

import (
	"time"
	"unsafe"

	"weever/mediad/internal/fanout/codec"
)

// How much a ring may hold. It starts small and doubles while it is too small for the last replaySeconds of its stream, so that
// memory follows bit rate: 2 Mbit/s needs 1 MB, a low simulcast layer 100 KB, a voice 40 KB. maxBytes is the "2 MB" of the key frame
// cache; above 4 Mbit/s it, not time, is the limit, and a retransmission reaches back maxBytes/rate (0.8 s at 20 Mbit/s).
const (
	replaySeconds = 4
	minSlots      = 128
	maxSlots      = 4096 // a power of two; 4 s at 1000 packets a second
	minBytes      = 16 << 10
	maxBytes      = 2 << 20
)

// ring is the history of one stream: the one copy of each packet that a node keeps, for retransmissions and for viewers who join.
//
// Payloads lie one after another in data, which is written round and round; slots, indexed by sequence, say where. A payload is
// gone when data has been written over it, which pos tells: positions count all bytes ever stored. A ring has no lock: its
// Stream's guards it. In the steady state put allocates nothing.
type ring struct {
	slots   []slot
	order   []arrival // what came when, round and round, as many as there are slots
	arrived uint64    // packets ever stored: the number of the next arrival
	data    []byte
	head    uint64 // bytes ever stored: the position of the next payload
	newest  uint64 // highest index stored, 0: empty
	oldest  uint64 // lowest index that may still be held
	horizon uint32 // replaySeconds in ticks of the stream's clock

	key   uint64 // index of the first packet of the last key frame, 0: none seen
	keyTS uint32
}

// arrival is one entry of the order in which packets came.
type arrival struct {
	index uint64
	at    time.Time
}

// slot is where one packet is.
type slot struct {
	index       uint64 // 0: never used
	pos         uint64
	timestamp   uint32
	size        uint16
	lost        bool // the payload is not there any more
	marker      bool
	hasLevel    bool
	hasOrient   bool
	level       uint8
	orientation uint8
	desc        codec.Desc
}

func newRing(clock uint32) ring {
	return ring{slots: make([]slot, minSlots), order: make([]arrival, minSlots), data: make([]byte, minBytes), horizon: replaySeconds * clock}
}

func (r *ring) slot(index uint64) *slot { return &r.slots[index&uint64(len(r.slots)-1)] }

// arrival returns the entry of the n-th packet that came, of the last len(order).
func (r *ring) arrival(n uint64) *arrival { return &r.order[n&uint64(len(r.order)-1)] }

// firstHeld returns the first arrival, n or later, whose packet can be read.
func (r *ring) firstHeld(n uint64) uint64 {
	if size := uint64(len(r.order)); r.arrived-n > size {
		n = r.arrived - size
	}
	for n < r.arrived && !r.holds(r.arrival(n).index) {
		n++
	}
	return n
}

// frameAfter returns the first arrival, n or later, that begins a frame, as far as arrivals go.
func (r *ring) frameAfter(n uint64) uint64 {
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

// holds reports whether the packet with this index can be read.
func (r *ring) holds(index uint64) bool {
	s := r.slot(index)
	return s.index == index && index != 0 && !s.lost && r.head <= s.pos+uint64(len(r.data))
}

// had reports whether there was a packet with this index, held or not, as far as slots reach. One that comes again with other contents must not
// be taken for new: a viewer would be sent two packets under one number.
func (r *ring) had(index uint64) bool { return r.slot(index).index == index }

// reaches reports whether a packet with this index, newer or not, still has a place.
func (r *ring) reaches(index uint64) bool {
	return r.newest == 0 || index+uint64(len(r.slots)) > r.newest
}

// put copies p. The caller has made sure that the ring reaches it and does not hold it.
func (r *ring) put(p *Packet) {
	r.makeRoom(p)
	n := uint64(len(p.Payload))
	pos := r.place(n)
	copy(r.data[pos%uint64(len(r.data)):], p.Payload)
	r.head = pos + n
	*r.slot(p.Index) = slot{
		index: p.Index, pos: pos, timestamp: p.Timestamp, size: uint16(n), marker: p.Marker, hasLevel: p.HasLevel,
		hasOrient: p.HasOrientation, level: p.Level, orientation: p.Orientation, desc: p.Desc,
	}
	*r.arrival(r.arrived) = arrival{p.Index, p.At}
	r.arrived++
	if p.Index > r.newest {
		r.newest = p.Index
	}
	if p.Desc.Keyframe && (r.key == 0 || p.Timestamp == r.keyTS && p.Index < r.key || p.Timestamp != r.keyTS && p.Index > r.key) {
		r.key, r.keyTS = p.Index, p.Timestamp
	}
}

// place returns the position at which n bytes lie in one piece.
func (r *ring) place(n uint64) uint64 {
	size := uint64(len(r.data))
	if off := r.head % size; off+n > size {
		return r.head + size - off
	}
	return r.head
}

// makeRoom doubles slots or data while writing p would lose a packet younger than the horizon.
func (r *ring) makeRoom(p *Packet) {
	if r.newest == 0 {
		r.oldest = p.Index
		return
	}
	if old := r.slot(p.Index); len(r.slots) < maxSlots && old.index != 0 && old.index < p.Index && r.holds(old.index) && r.young(old, p) {
		r.resize(2*len(r.slots), len(r.data))
	}
	r.oldest = max(r.oldest, p.Index-min(p.Index, uint64(len(r.slots))-1))
	for r.oldest < r.newest {
		s := r.slot(r.oldest)
		lost := r.place(uint64(len(p.Payload)))+uint64(len(p.Payload)) > s.pos+uint64(len(r.data))
		switch {
		case s.index != r.oldest: // never came
		case !lost:
			return
		case len(r.data) < maxBytes && r.young(s, p):
			r.resize(len(r.slots), 2*len(r.data))
			continue
		}
		r.oldest++
	}
}

// young reports whether s was sent less than the horizon before p. Age is told by timestamps, so that it means the same on every
// node, and a picture that has stood still for long is still the newest one.
func (r *ring) young(s *slot, p *Packet) bool {
	return int32(p.Timestamp-s.timestamp) < int32(r.horizon)
}

// resize moves everything that is held into larger arrays.
func (r *ring) resize(slots, size int) {
	old := *r
	r.slots, r.data, r.head = make([]slot, slots), make([]byte, size), 0
	if slots > len(r.order) {
		r.order = make([]arrival, slots)
		for n := r.arrived - min(r.arrived, uint64(len(old.order))); n < r.arrived; n++ {
			*r.arrival(n) = *old.arrival(n)
		}
	}
	first := r.newest - min(r.newest, uint64(len(old.slots))) + 1
	for i := first; i <= r.newest; i++ { // oldest first, so that they are also overwritten first
		if !old.had(i) {
			continue
		}
		s := *old.slot(i)
		if !old.holds(i) {
			s.lost = true
			*r.slot(i) = s
			continue
		}
		pos := r.head
		r.head += uint64(copy(r.data[pos:], old.payload(&s)))
		s.pos = pos
		*r.slot(i) = s
	}
}

func (r *ring) payload(s *slot) []byte {
	off := s.pos % uint64(len(r.data))
	return r.data[off : off+uint64(s.size)]
}

// get fills p with the packet of this index, the payload copied behind dst, and returns dst with it; false if it is not held.
func (r *ring) get(index uint64, p *Packet, dst []byte) ([]byte, bool) {
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

// cached returns where a viewer may start: the first packet of the last key frame, if it is not older than the horizon and
// everything since is here.
func (r *ring) cached() (index uint64, ok bool) {
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

// memory is the number of bytes that the ring occupies.
func (r *ring) memory() int {
	return len(r.data) + len(r.slots)*int(unsafe.Sizeof(slot{})) + len(r.order)*int(unsafe.Sizeof(arrival{}))
}
