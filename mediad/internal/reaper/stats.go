package reaper

import "weever/shared/lease"

// This file tells whoever watches over the node what its Reaper sees of the others.

// maxKinds bounds the kinds of nodes that are told apart: Redis is trusted, but not to hold few of them.
const maxKinds = 64

// Kind sorts nodes.
type Kind struct{ Region, Version string }

// other is the kind of those beyond maxKinds.
const other = "other"

// Stats is what a Reaper has seen and done since it was made.
type Stats struct {
	Nodes  map[Kind]int // processes whose lease holds, this one included, as last read from Redis; nil: not yet
	Reaped uint64       // dead processes that this one has cleaned up after
}

// Stats reads the counters.
func (r *Reaper) Stats() Stats {
	st := Stats{Reaped: r.reaped.Load()}
	if seen := r.seen.Load(); seen != nil {
		st.Nodes = *seen
	}
	return st
}

// note counts the leases that hold.
func (r *Reaper) note(all []lease.Lease) {
	seen := map[Kind]int{}
	for _, l := range all {
		if l.Remaining <= 0 || l.Dead {
			continue
		}
		k := Kind{l.Region, l.Version}
		if _, known := seen[k]; !known && len(seen) >= maxKinds {
			k = Kind{other, other}
		}
		seen[k]++
	}
	r.seen.Store(&seen)
}
