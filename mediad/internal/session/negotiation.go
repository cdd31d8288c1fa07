package session

// negotiation decides when a viewer is sent an SDP_OFFER. It is a pure state machine: Viewer.Run tells it what happened and does
// what it returns. One round at a time; whatever changes meanwhile is gathered into the next round.
//
//	          changed                 answered, nothing dirty
//	closed ──────────► (dirty) ── opened ──► idle ◄──────────────┐
//	                                          │ changed          │
//	                                          ▼                  │
//	                                       waiting ── answered ──┤ dirty: offer again
//	                                          │ overdue
//	                                          ▼
//	                                         fail
type negotiation struct {
	open    bool // the control channel is there
	waiting bool // an offer of ours is unanswered
	dirty   bool // something changed since the last offer
	closed  int  // rounds that were closed without their answers, which may still come
}

// round is what the viewer has to do now.
type round uint8

const (
	rest    round = iota // nothing
	offer                // make an offer and send it
	apply                // the answer belongs to the open round: apply it, then call answered
	discard              // the answer is late or uncalled for: drop it
	fail                 // the client does not answer: end the session
)

// changed says that sections should be other than last offered.
func (n *negotiation) changed() round {
	n.dirty = true
	return n.next()
}

// opened says that the control channel can be written to.
func (n *negotiation) opened() round {
	n.open = true
	return n.next()
}

// answer says that an SDP_ANSWER arrived, whether it was written on the present ICE session, and whether it fits the open offer
// section by section. One for a round that an ICE restart closed may come late or never. If it fits, it says what the awaited one
// would, which is then uncalled for.
func (n *negotiation) answer(current, fits bool) round {
	switch {
	case !n.waiting:
		return discard
	case !current, !fits && n.closed > 0:
		n.closed = max(0, n.closed-1)
		return discard
	default:
		return apply
	}
}

// answered says that the answer of the open round was applied.
func (n *negotiation) answered() round {
	n.waiting = false
	return n.next()
}

// closedByRestart says that the open round was completed without the client's answer, which may still come.
func (n *negotiation) closedByRestart() {
	n.waiting = false
	n.dirty = true
	n.closed++
}

// restarted asks for the round that must follow a restart which closed one.
func (n *negotiation) restarted() round { return n.next() }

// overdue says that the time for an answer is up.
func (n *negotiation) overdue() round {
	if n.waiting {
		return fail
	}
	return rest
}

// next starts a round if one is due and none is under way.
func (n *negotiation) next() round {
	if !n.open || n.waiting || !n.dirty {
		return rest
	}
	n.waiting, n.dirty = true, false
	return offer
}
