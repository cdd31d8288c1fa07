// Package negotiation decides when a viewer is sent an SDP_OFFER: one round at a time, and whatever changes meanwhile is gathered into
// the next.
//
// It is a pure state machine. A viewer's Run owns its State, tells it what happened and does what it returns.
package negotiation

// State is where the rounds of one viewer stand. The zero value has no control channel yet.
//
//	        Changed                 Answered, nothing dirty
//	closed ──────────► (dirty) ── Opened ──► idle ◄──────────────┐
//	                                          │ Changed, Next    │
//	                                          ▼                  │
//	                                       waiting ── Answered ──┤ dirty: offer again
//	                                          │ Overdue
//	                                          ▼
//	                                         Fail
type State struct {
	open    bool // the control channel is there
	waiting bool // an offer of ours is unanswered
	dirty   bool // something changed since the last offer
	closed  int  // rounds that were closed without their answers, which may still come
}

// Step is what the viewer has to do now.
type Step uint8

const (
	// Rest says that there is nothing to do.
	Rest Step = iota
	// Offer says: make an offer and send it.
	Offer
	// Apply says that the answer belongs to the open round: apply it, then call Answered.
	Apply
	// Discard says that the answer is late or uncalled for: drop it.
	Discard
	// Fail says that the client does not answer: end the session.
	Fail
)

// Changed notes that sections should be other than last offered. Next starts the round when all changes of the moment are noted.
func (s *State) Changed() { s.dirty = true }

// Told notes that the client knows all changes: by the answer to its POST, which is no round.
func (s *State) Told() { s.dirty = false }

// Next starts a round if one is due and none is under way.
func (s *State) Next() Step {
	if !s.open || s.waiting || !s.dirty {
		return Rest
	}
	s.waiting, s.dirty = true, false
	return Offer
}

// Opened says that the control channel can be written to.
func (s *State) Opened() Step {
	s.open = true
	return s.Next()
}

// Waiting reports whether a round is under way.
func (s *State) Waiting() bool { return s.waiting }

// Answer says that an SDP_ANSWER arrived, whether it was written on the present ICE session, and whether it fits the open offer
// section by section. One for a round that an ICE restart closed may come late or never. If it fits, it says what the awaited one
// would, which is then uncalled for.
func (s *State) Answer(current, fits bool) Step {
	switch {
	case !s.waiting:
		return Discard
	case !current, !fits && s.closed > 0:
		s.closed = max(0, s.closed-1)
		return Discard
	default:
		return Apply
	}
}

// Answered says that the answer of the open round was applied.
func (s *State) Answered() Step {
	s.waiting = false
	return s.Next()
}

// ClosedByRestart says that the open round was completed without the client's answer, which may still come. The next round, due after
// the restart, says all anew.
func (s *State) ClosedByRestart() {
	s.waiting = false
	s.dirty = true
	s.closed++
}

// Overdue says that the time for an answer is up.
func (s *State) Overdue() Step {
	if s.waiting {
		return Fail
	}
	return Rest
}
