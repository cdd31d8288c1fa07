package history

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

// Ring is the history of one stream, for retransmissions and for viewers who join.
//
// Payloads lie one after another in data, which is written round and round; slots, indexed by sequence, say where. A payload is
// gone when data has been written over it, which pos tells: positions count all bytes ever stored. A Ring has no lock: its
// stream's guards it. In the steady state Put allocates nothing, nor does reading into buffers that are large enough.
type Ring struct {
	slots   []slot
	order   []arrival // what came when, round and round, as many as there are slots
	arrived uint64    // packets ever stored: the number of the next arrival
	data    []byte
	head    uint64 // bytes ever stored: the position of the next payload
	newest  uint64 // highest index stored, 0: empty
	oldest  uint64 // lowest index that may still be held
	clock   uint32 // of the stream, in Hz
	horizon uint32 // replaySeconds in ticks of that
	suspect uint64 // index+1 of the last packet that was too old; see Number

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

// New returns an empty Ring for a stream with this RTP clock rate, in Hz.
func New(clock uint32) *Ring {
	return &Ring{
		slots: make([]slot, minSlots), order: make([]arrival, minSlots), data: make([]byte, minBytes),
		clock: clock, horizon: replaySeconds * clock,
	}
}

// Number counts seq on without wrapping, nearest to the newest packet. What lies further back than the history reaches is late, and
// false; far back, two in a row are a sender that began anew (RFC 3550 appendix A.1), and the count goes on a good half turn later.
// "Far" is beyond what a NACK to the publisher can bring (pion asks for 512 back).
func (r *Ring) Number(seq uint16) (index uint64, ok bool) {
	const turn, far = 1 << 16, 600
	if r.newest == 0 {
		return turn + uint64(seq), true
	}
	index = r.newest + uint64(int64(int16(seq-uint16(r.newest))))
	if r.reaches(index) {
		r.suspect = 0
		return index, true
	}
	if r.suspect == index && r.newest-index > far {
		r.suspect = 0
		return index + turn, true
	}
	r.suspect = index + 1
	return 0, false
}

// Arrived returns how many packets were ever put: the number of the next arrival.
func (r *Ring) Arrived() uint64 { return r.arrived }

// Newest returns the highest index that was put; 0: none was.
func (r *Ring) Newest() uint64 { return r.newest }

// KeyFrame returns the index of the first packet of the last key frame; 0: none was seen.
func (r *Ring) KeyFrame() uint64 { return r.key }

func (r *Ring) slot(index uint64) *slot { return &r.slots[index&uint64(len(r.slots)-1)] }

// arrival returns the entry of the n-th packet that came, of the last len(order).
func (r *Ring) arrival(n uint64) *arrival { return &r.order[n&uint64(len(r.order)-1)] }

// holds reports whether the packet with this index can be read.
func (r *Ring) holds(index uint64) bool {
	s := r.slot(index)
	return s.index == index && index != 0 && !s.lost && r.head <= s.pos+uint64(len(r.data))
}

// Had reports whether there was a packet with this index, held or not, as far as slots reach. One that comes again with other contents must not
// be taken for new: a viewer would be sent two packets under one number.
func (r *Ring) Had(index uint64) bool { return r.slot(index).index == index }

// reaches reports whether a packet with this index, newer or not, still has a place.
func (r *Ring) reaches(index uint64) bool {
	return r.newest == 0 || index+uint64(len(r.slots)) > r.newest
}

// Put copies p, payload included. Its Index is from Number, and the caller has made sure that the Ring has not Had it
// and that its payload has at most fanout.MaxPacket bytes.
func (r *Ring) Put(p *Packet) {
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
func (r *Ring) place(n uint64) uint64 {
	size := uint64(len(r.data))
	if off := r.head % size; off+n > size {
		return r.head + size - off
	}
	return r.head
}

// makeRoom doubles slots or data while writing p would lose a packet younger than the horizon.
func (r *Ring) makeRoom(p *Packet) {
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
func (r *Ring) young(s *slot, p *Packet) bool {
	return int32(p.Timestamp-s.timestamp) < int32(r.horizon)
}

// resize moves everything that is held into larger arrays.
func (r *Ring) resize(slots, size int) {
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
		if !old.Had(i) {
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

func (r *Ring) payload(s *slot) []byte {
	off := s.pos % uint64(len(r.data))
	return r.data[off : off+uint64(s.size)]
}

// Memory is the number of bytes that the Ring occupies.
func (r *Ring) Memory() int {
	return len(r.data) + len(r.slots)*int(unsafe.Sizeof(slot{})) + len(r.order)*int(unsafe.Sizeof(arrival{}))
}
