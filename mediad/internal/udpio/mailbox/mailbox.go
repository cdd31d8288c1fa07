// Package mailbox keeps packets until they are read: what one goroutine puts in, batch by batch, others take out.
//
// Package udpio has one Box for each connection.
package mailbox

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// roomy is what packets over an Ethernet have at most, with something to spare, in bytes. Longer ones cost an allocation.
const roomy = 1600

// Packet is one that waits.
type Packet struct {
	From netip.AddrPort
	Data []byte // in room; a longer one is by itself

	next *Packet
	room [roomy]byte
}

// Pool is packets that are not in use. Its zero value is empty; any goroutine may use it.
type Pool struct{ free sync.Pool }

func (l *Pool) take(data []byte, from netip.AddrPort) *Packet {
	p, _ := l.free.Get().(*Packet)
	if p == nil {
		p = &Packet{}
	}
	p.From = from
	p.Data = append(p.room[:0], data...)
	return p
}

// Free takes back a packet that Next gave.
func (l *Pool) Free(p *Packet) {
	p.Data = nil
	l.free.Put(p)
}

// Box is the packets of one connection.
type Box struct {
	pool    *Pool
	waiting atomic.Int32 // packets in arrived and queue

	arrived list // not delivered yet; of the goroutine that puts

	mu    sync.Mutex
	some  sync.Cond
	queue list
	shut  bool
}

// New makes an empty Box. Packets come from the pool and go back to it.
func New(pool *Pool) *Box {
	b := &Box{pool: pool}
	b.some.L = &b.mu
	return b
}

// Put copies a packet, unless limit packets are waiting already. Nobody sees it before Deliver. It reports whether it was put, and
// whether it is the first since Deliver. Put and Deliver are called by one goroutine.
func (b *Box) Put(data []byte, from netip.AddrPort, limit int32) (ok, first bool) {
	if b.waiting.Load() >= limit {
		return false, false
	}
	b.waiting.Add(1)
	first = b.arrived.first == nil
	b.arrived.push(b.pool.take(data, from))
	return true, first
}

// Deliver lets what was put be read, and wakes one reader.
func (b *Box) Deliver() {
	b.mu.Lock()
	b.queue.append(&b.arrived)
	if b.shut {
		b.clear()
	}
	b.mu.Unlock()
	b.some.Signal()
}

// Next waits for a packet, which the caller gives back to the pool. It returns nil when the Box is shut or closed is true, which the
// caller follows with Wake.
func (b *Box) Next(closed *atomic.Bool) *Packet {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if b.shut || closed.Load() {
			return nil
		}
		if p := b.queue.pop(); p != nil {
			b.waiting.Add(-1)
			return p
		}
		b.some.Wait()
	}
}

// Wake has all readers look whether they are closed.
func (b *Box) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock() // nobody is between looking and waiting
	b.some.Broadcast()
}

// Shut ends all readers and forgets what was not read.
func (b *Box) Shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	b.clear()
	b.some.Broadcast()
}

// clear frees what is in the queue; the caller holds the lock.
func (b *Box) clear() {
	for p := b.queue.pop(); p != nil; p = b.queue.pop() {
		b.waiting.Add(-1)
		b.pool.Free(p)
	}
}

// list is packets in order. Its zero value is empty.
type list struct {
	first, last *Packet
}

func (l *list) push(p *Packet) {
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

func (l *list) pop() *Packet {
	p := l.first
	if p == nil {
		return nil
	}
	if l.first = p.next; l.first == nil {
		l.last = nil
	}
	p.next = nil
	return p
}

// append moves all packets of another list to the end.
func (l *list) append(other *list) {
	if other.first == nil {
		return
	}
	if l.last == nil {
		l.first = other.first
	} else {
		l.last.next = other.first
	}
	l.last = other.last
	*other = list{}
}
