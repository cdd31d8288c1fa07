package kernel

import (
	"net/netip"
	"sync/atomic"
)

// This file gathers packets that are to leave together.

// A batch's limits. A slab that stays in the processor's cache is faster than a large one; nothing waits for it to fill.
const (
	slabSize    = 160 << 10
	maxMessages = 64    // of one system call, which nothing interrupts
	maxSegments = 64    // of one message: the kernel's limit (UDP_MAX_SEGMENTS) until 6.9
	maxMessage  = 64000 // bytes of one message: one IP packet before it is cut, with its headers
)

// Batch gathers packets until Flush, or until it is full. Neighbours that go to one address and are equally long, the last may be
// shorter, become one message that the kernel cuts up (UDP_SEGMENT), and all messages leave in one system call, where the system can.
//
// It is used by one goroutine at a time and has nothing to close.
type Batch struct {
	slab     []byte
	used     int
	messages [maxMessages]message
	n        int
	system   system
}

// message is what the kernel is told in one piece.
type message struct {
	to    *Destination
	from  int // in the slab
	size  int
	seg   int // size of its packets
	count int // of its packets
	shut  bool
	gone  bool
}

// Destination is an address, seen from one of our sockets.
type Destination struct {
	Socket *Socket
	Addr   netip.AddrPort
	name   sockaddr
	whole  atomic.Bool // the kernel does not cut up messages on the way to there
}

// NewDestination prepares an address for batches. Packets of one Destination may be joined, those of two never.
func NewDestination(s *Socket, addr netip.AddrPort) *Destination {
	d := &Destination{Socket: s, Addr: unmap(addr)}
	d.name.set(d.Addr, s.local.Addr().Is6())
	return d
}

// NewBatch returns an empty batch of about 160 KB.
func NewBatch() *Batch {
	b := &Batch{slab: make([]byte, slabSize)}
	b.system.init()
	return b
}

// Room returns n bytes to write a packet into, at most a few thousand. They are the batch's: Commit takes what is in them, the next Room
// gives them to somebody else. It may flush.
func (b *Batch) Room(n int) []byte {
	if b.used+n > len(b.slab) {
		b.Flush()
	}
	return b.slab[b.used : b.used+n : b.used+n]
}

// Commit takes the first n bytes of what Room returned last as one packet. It may flush.
func (b *Batch) Commit(n int, to *Destination) {
	if b.n > 0 && b.messages[b.n-1].take(to, n) {
		b.used += n
		return
	}
	if b.n == maxMessages {
		packet := b.slab[b.used : b.used+n]
		b.Flush()
		copy(b.slab, packet)
	}
	b.messages[b.n] = message{to: to, from: b.used, size: n, seg: n, count: 1}
	b.n++
	b.used += n
}

// take appends a packet of n bytes, which lies behind the message in the slab, if it may.
func (m *message) take(to *Destination, n int) bool {
	if m.to != to || m.shut || n > m.seg || m.count == maxSegments || m.size+n > maxMessage || !to.Socket.cuts || to.whole.Load() {
		return false
	}
	m.size += n
	m.count++
	m.shut = n < m.seg
	return true
}

// Flush sends everything. It blocks while the kernel has no room, but not before it has sent what can go by other sockets. What the
// kernel refuses is counted, packet by packet, and lost, as on any wire.
func (b *Batch) Flush() {
	for _, wait := range [...]bool{false, true} {
		for i := range b.n {
			if !b.messages[i].gone {
				b.send(b.messages[i].to.Socket, wait)
			}
		}
	}
	b.n, b.used = 0, 0
}

// single sends the packets of a message one by one.
func (b *Batch) single(m *message) {
	m.gone = true
	for from := m.from; from < m.from+m.size; from += m.seg {
		_, _ = m.to.Socket.WriteTo(b.slab[from:min(from+m.seg, m.from+m.size)], m.to.Addr) // counted there
	}
}
