// Package drop names and counts why packets go no further than the fan-out.
package drop

import (
	"iter"
	"sync/atomic"
)

// Reason is why a packet went no further, or why a request for a retransmission was not met.
type Reason uint8

// The reasons. The first group is counted by a Stream, the rest by an outgoing track.
const (
	Malformed   Reason = iota // not RTP, or cut short
	Oversized                 // longer than fanout.MaxPacket
	PayloadType               // another payload type than the stream's
	Duplicate                 // held already
	Late                      // older than the history reaches
	Closed                    // the stream has ended
	Overrun                   // the history was written over before the viewers' turn; counted once per viewer

	Waiting      // a viewer waits for a key frame
	Stale        // of a stream the viewer has just left
	Reordered    // sent before the point at which the viewer joined
	NoFormat     // the viewer negotiated no format for the codec
	NotConnected // the viewer's transport is not up
	WriteFailed  // the viewer's transport refused it

	NackUnknown // asked for again, but no longer (or not yet) in the history
	NackRepeat  // asked for again too soon after the last answer
	NackBudget  // asked for again more often than the budget allows

	reasons
)

var names = [reasons]string{
	Malformed: "malformed", Oversized: "oversized", PayloadType: "payload_type", Duplicate: "duplicate", Late: "late", Closed: "closed", Overrun: "overrun",
	Waiting: "waiting_keyframe", Stale: "stale", Reordered: "reordered", NoFormat: "no_format", NotConnected: "not_connected", WriteFailed: "write_failed",
	NackUnknown: "nack_unknown", NackRepeat: "nack_repeat", NackBudget: "nack_budget",
}

// String returns the reason as it stands in metrics.
func (d Reason) String() string { return names[d] }

// Counts is a reading of Counters: how often each reason occurred.
type Counts [reasons]uint64

// AtStream yields the reasons that a Stream counts, with their counts.
func (d *Counts) AtStream() iter.Seq2[string, uint64] { return d.named(0, Waiting) }

// AtViewer yields the reasons that an outgoing track counts, with their counts.
func (d *Counts) AtViewer() iter.Seq2[string, uint64] { return d.named(Waiting, reasons) }

func (d *Counts) named(from, to Reason) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for i := from; i < to; i++ {
			if !yield(names[i], d[i]) {
				return
			}
		}
	}
}

// Plus adds another reading.
func (d Counts) Plus(other Counts) Counts {
	for i, n := range other {
		d[i] += n
	}
	return d
}

// Counters counts drops by reason. The zero value is ready; all methods may be called by any goroutine at any time.
type Counters [reasons]atomic.Uint64

// Add counts n drops for reason d.
func (c *Counters) Add(d Reason, n int) { c[d].Add(uint64(n)) }

// Read returns the counts so far.
func (c *Counters) Read() (d Counts) {
	for i := range c {
		d[i] = c[i].Load()
	}
	return d
}
