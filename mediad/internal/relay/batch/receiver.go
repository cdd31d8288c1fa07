package batch

import "weever/mediad/internal/fanout"

// Receiver unpacks one sender's messages into a stream, whose writer it is. It is for one goroutine.
type Receiver struct {
	stream *fanout.Stream
	count  *Counters
	batch  Batch
	number uint32 // of the message that Live expects next
}

// NewReceiver returns a receiver that feeds stream and counts in count.
func NewReceiver(stream *fanout.Stream, count *Counters) *Receiver {
	return &Receiver{stream: stream, count: count}
}

// Live takes a message as it came from the bus, and counts it and what is missing before it. It borrows msg.
func (r *Receiver) Live(msg []byte) {
	if !r.Past(msg) {
		return
	}
	b := &r.batch
	r.count.received(len(msg), len(b.Packets))
	if b.Number != 0 && r.number != 0 && b.Number > r.number { // 0: a new sender
		r.count.Drop(LostOnBus, int(b.Number-r.number))
	}
	r.number = b.Number + 1
}

// Past takes a message out of the sender's history, which counts as no traffic. False: it cannot be read.
func (r *Receiver) Past(msg []byte) bool {
	b := &r.batch
	if b.Decode(msg) != nil {
		r.count.Drop(Unreadable, 1)
		return false
	}
	if len(b.Packets) > 0 {
		r.stream.WritePackets(b.Packets)
	}
	for _, report := range b.Reports {
		r.stream.WriteReport(report)
	}
	return true
}
