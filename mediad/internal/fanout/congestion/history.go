package congestion

import "time"

// Sizes of the history, in packets: it begins small and grows for those who send much. Browsers report at least four times a second.
const (
	leastHistory = 512
	mostHistory  = 2048
	youngPacket  = int64(time.Second / time.Microsecond) // one that may still be reported on
)

// fate is what is known of a packet that was sent.
type fate uint8

const (
	flying    fate = iota
	lost           // reported as not received, so far
	assumed        // the feedback that told of it was lost; counted as delivered
	confirmed      // reported as received
)

// sent is a packet in the history: 8 bytes.
type sent struct {
	at   uint32 // µs, the low bits of the time since the estimator's beginning
	size uint16
	fate fate
}

// history is the packets sent last: the one numbered n stands at n modulo its length. Numbers count on without wrapping; those in
// the header extension are their low 16 bits.
type history struct {
	ring []sent
	next int64 // number of the next packet
}

// add notes a packet and returns its number.
func (h *history) add(now int64, size int) int64 {
	if h.ring == nil {
		h.ring = make([]sent, leastHistory)
	}
	n := h.next
	slot := &h.ring[n&int64(len(h.ring)-1)]
	if n >= int64(len(h.ring)) && len(h.ring) < mostHistory && slot.fate == flying && now-since(slot.at, now) < youngPacket {
		h.grow()
		slot = &h.ring[n&int64(len(h.ring)-1)]
	}
	*slot = sent{at: uint32(now), size: uint16(min(max(size, 0), 1<<16-1))}
	h.next++
	return n
}

func (h *history) grow() {
	ring := make([]sent, 2*len(h.ring))
	for n := h.oldest(); n < h.next; n++ {
		ring[n&int64(len(ring)-1)] = h.ring[n&int64(len(h.ring)-1)]
	}
	h.ring = ring
}

// oldest is the number of the first packet that is still known.
func (h *history) oldest() int64 { return max(0, h.next-int64(len(h.ring))) }

// number finds the whole number of the newest packet that was sent under seq. It may be too old to be known, or below 0.
func (h *history) number(seq uint16) int64 {
	last := h.next - 1
	return last - int64(uint16(last)-seq)
}

// at returns a packet that is known: oldest <= n < next.
func (h *history) at(n int64) *sent { return &h.ring[n&int64(len(h.ring)-1)] }

// since gives the low 32 bits of a time near now their place: half an hour before or after.
func since(low uint32, now int64) int64 { return now - int64(int32(uint32(now)-low)) }
