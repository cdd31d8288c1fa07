// Package batch packs the packets of streams into messages and puts them on the bus.
//
// The relay makes one Outbox per node and one Sender per stream that another node wants, and unpacks what comes with a Batch.
package batch

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// The outbox stands between publishers' read loops and the bus: a NATS connection whose server stalls blocks whoever publishes
// on it, and that must never be a loop that also feeds the viewers of this node. When it is full the oldest media goes first.
const (
	outboxMessages = 2048
	outboxBytes    = 16 << 20
	outboxSpare    = 64
)

// message is one media message on its way out; it is reused.
type message struct {
	subject string
	data    []byte
	packets int
}

// Outbox is filled by any number of senders and emptied by Run.
type Outbox struct {
	nc    *nats.Conn
	count *Counters
	open  func() bool // nil: always
	queue chan *message
	bytes atomic.Int64
	spare chan *message // for reuse; as many as are under way at once when all is well
}

// NewOutbox returns an empty outbox for the media connection nc, which it does not own. While open says no, what would be sent is dropped;
// nil: it never does.
func NewOutbox(nc *nats.Conn, count *Counters, open func() bool) *Outbox {
	return &Outbox{nc: nc, count: count, open: open, queue: make(chan *message, outboxMessages), spare: make(chan *message, outboxSpare)}
}

// blank returns an empty message for subject.
func (o *Outbox) blank(subject string) *message {
	var m *message
	select {
	case m = <-o.spare:
	default:
		m = new(message)
	}
	m.subject, m.data, m.packets = subject, m.data[:0], 0
	return m
}

// push queues m and takes it over. It never blocks.
func (o *Outbox) push(m *message) {
	o.bytes.Add(int64(len(m.data)))
	for o.bytes.Load() > outboxBytes || !o.offer(m) {
		select {
		case old := <-o.queue:
			o.count.Drop(OutboxFull, old.packets)
			o.done(old)
		default: // emptied meanwhile
		}
	}
}

func (o *Outbox) offer(m *message) bool {
	select {
	case o.queue <- m:
		return true
	default:
		return false
	}
}

// done takes back a message that left the queue.
func (o *Outbox) done(m *message) {
	o.bytes.Add(-int64(len(m.data)))
	o.recycle(m)
}

// recycle keeps a message for reuse.
func (o *Outbox) recycle(m *message) {
	select {
	case o.spare <- m:
	default:
	}
}

// Run publishes until ctx ends. While the bus is away media is dropped, not kept for later.
func (o *Outbox) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-o.queue:
			o.publish(m)
			o.done(m)
		}
	}
}

func (o *Outbox) publish(m *message) {
	switch {
	case o.open != nil && !o.open():
		o.count.Drop(Fenced, m.packets)
	case !o.nc.IsConnected():
		o.count.Drop(Disconnected, m.packets)
	case o.nc.Publish(m.subject, m.data) != nil:
		o.count.Drop(PublishFailed, m.packets)
	default:
		o.count.messagesOut.Add(1)
		o.count.packetsOut.Add(uint64(m.packets))
		o.count.bytesOut.Add(uint64(len(m.data)))
	}
}
