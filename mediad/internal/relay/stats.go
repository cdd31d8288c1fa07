package relay

import (
	"time"

	"weever/mediad/internal/relay/batch"
	"weever/mediad/internal/relay/tally"
)

// Stats is a reading of a relay's counters since it was made, and of what it does at the moment.
type Stats struct {
	batch.Stats
	Tracks     map[tally.Codec]int // of this node that others may ask for, whatever layers they have
	Leases     int                 // wishes of other nodes for their streams
	Subscribed int                 // streams of other nodes
	Held       int                 // those of them that their node sends, as far as we know
	Asked      uint64              // key frames asked for by other nodes
	Streams    tally.Streams       // what they count, ended ones too
}

// Stats reads the counters. Streams are asked one by one: it is nothing to do often.
func (r *Relay) Stats() Stats {
	st := Stats{Stats: r.count.Read(), Tracks: map[tally.Codec]int{}, Asked: r.asked.Load(), Streams: r.streams.Read()}
	now := time.Now().UnixNano()
	tracks := map[Key]bool{}
	r.mu.Lock()
	defer r.mu.Unlock()
	st.Subscribed = len(r.remotes)
	for _, p := range r.publications {
		st.Leases += len(p.leases)
		if !tracks[p.track] {
			tracks[p.track] = true
			st.Tracks[tally.CodecOf(p.stream)]++
		}
	}
	for _, m := range r.remotes {
		if now < m.until.Load() {
			st.Held++
		}
	}
	return st
}
