package talk

import (
	"iter"
	"sync/atomic"
)

// Reason is why something that was said did not reach somebody.
type Reason uint8

// The reasons.
const (
	ViewerQueue Reason = iota // a viewer's client, or its session, is slower than others talk
	BusQueue                  // the bus is slower than this node talks
	BusAway                   // the bus did not take it

	reasons
)

var names = [reasons]string{
	ViewerQueue: "viewer_queue_full", BusQueue: "bus_queue_full", BusAway: "bus_away",
}

// String returns the reason as it stands in metrics.
func (r Reason) String() string { return names[r] }

// Drops is a reading of how often each Reason occurred since the Hub was made: once for each viewer, or message for the bus.
type Drops [reasons]uint64

// Named yields every reason with its count.
func (d *Drops) Named() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for i, n := range d {
			if !yield(names[i], n) {
				return
			}
		}
	}
}

type counters [reasons]atomic.Uint64

func (c *counters) add(r Reason) { c[r].Add(1) }

// Drops reads the counters.
func (h *Hub) Drops() (d Drops) {
	for i := range h.drops {
		d[i] = h.drops[i].Load()
	}
	return d
}
