package batch

import "sync/atomic"

// Drop names why media did not cross the bus. Packets are counted, but for SlowConsumer and LostOnBus, which count messages.
type Drop uint8

// The reasons.
const (
	OutboxFull    Drop = iota // the bus is slower than the media; the oldest went
	Disconnected              // the bus is away
	PublishFailed             // the bus library refused
	LeaseExpired              // this process stood still so long that nobody may want it any more
	Fenced                    // this process stood still or was cut off, and its claims are not checked yet
	Unreadable                // a message from the bus that is not ours, or of another version
	SlowConsumer              // this node reads slower than media arrives
	LostOnBus                 // a hole in a sender's numbers

	numDrops
)

var dropNames = [numDrops]string{
	OutboxFull: "outbox_full", Disconnected: "bus_disconnected", PublishFailed: "publish_failed", LeaseExpired: "lease_expired",
	Fenced:     "fenced",
	Unreadable: "unreadable", SlowConsumer: "slow_consumer", LostOnBus: "lost_on_bus",
}

// String returns the reason as it stands in metrics.
func (d Drop) String() string { return dropNames[d] }

// Counters counts what one node moves over the bus. The zero value is ready; it may be used by any goroutine.
type Counters struct {
	messagesOut, packetsOut, bytesOut atomic.Uint64
	messagesIn, packetsIn, bytesIn    atomic.Uint64
	drops                             [numDrops]atomic.Uint64
}

// received counts a message from the bus.
func (c *Counters) received(bytes, packets int) {
	c.messagesIn.Add(1)
	c.bytesIn.Add(uint64(bytes))
	c.packetsIn.Add(uint64(packets))
}

// Drop counts n drops for reason d.
func (c *Counters) Drop(d Drop, n int) { c.drops[d].Add(uint64(n)) }

// Stats is a reading of Counters. It counts media as it happens, without what the nodes of new viewers are told of the past.
type Stats struct {
	MessagesOut, PacketsOut, BytesOut uint64
	MessagesIn, PacketsIn, BytesIn    uint64
	Drops                             map[string]uint64 // by reason; all reasons are there
}

// Read returns the counts so far.
func (c *Counters) Read() Stats {
	st := Stats{
		MessagesOut: c.messagesOut.Load(), PacketsOut: c.packetsOut.Load(), BytesOut: c.bytesOut.Load(),
		MessagesIn: c.messagesIn.Load(), PacketsIn: c.packetsIn.Load(), BytesIn: c.bytesIn.Load(),
		Drops: make(map[string]uint64, numDrops),
	}
	for i := range c.drops {
		st.Drops[dropNames[i]] = c.drops[i].Load()
	}
	return st
}
