// Package resend bounds how much a viewer is sent again.
//
// What is sent again never exceeds half of what was sent plus a burst, however often a viewer asks: a loss that needs more is
// congestion, and more packets are the wrong answer to it. One packet is sent again a few times only: some receivers ask on for what
// came on the retransmission stream, and would eat up the budget.
package resend

import (
	"time"

	"weever/mediad/internal/fanout/drop"
)

// The bounds.
const (
	Burst    = 64 << 10              // bytes that may be sent again before anything was earned
	Ceiling  = 256 << 10             // bytes that can be saved up
	Again    = 50 * time.Millisecond // requests for one packet sooner than that are repetitions
	Times    = 5                     // answers for one packet
	overhead = 64                    // bytes counted for each packet beside its payload
	memory   = 512                   // packets remembered
)

// Guard is the account of one viewer's track, for one goroutine at a time. The zero value is ready.
type Guard struct {
	spent  int             // bytes of the burst used up; negative: earned beyond it
	recent *[memory]answer // made on first use: most viewers lose nothing
}

// answer is what is remembered of one packet.
type answer struct {
	seq   uint64
	at    time.Time
	times int
}

// Earn is called for every packet sent in the normal course.
func (g *Guard) Earn(size int) { g.spent = max(g.spent-size/2, Burst-Ceiling) }

// Refuse reports whether the packet may not be sent again now, and why. seq counts without wrapping.
func (g *Guard) Refuse(seq uint64, now time.Time) (why drop.Reason, refuse bool) {
	limit := Burst
	if g.recent != nil {
		if a := &g.recent[seq%memory]; a.seq == seq && a.times > 0 {
			if a.times >= Times || now.Sub(a.at) < Again {
				return drop.NackRepeat, true
			}
			limit = Burst / 2 // the other half is for what is asked for the first time
		}
	}
	return drop.NackBudget, g.spent >= limit
}

// Vain notes that the packet was looked for and not there: that costs too.
func (g *Guard) Vain() { g.spent += overhead }

// Sent notes that the packet was sent again.
func (g *Guard) Sent(seq uint64, size int, now time.Time) {
	if g.recent == nil {
		g.recent = new([memory]answer)
	}
	a := &g.recent[seq%memory]
	if a.seq != seq {
		*a = answer{seq: seq}
	}
	a.at = now
	a.times++
	g.spent += size + overhead
}
