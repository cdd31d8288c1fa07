package life

import (
	"sync/atomic"
	"time"
)

// This file is what an operator is told of a session: how far it is, and how long its client waited.

// State is how far a session is.
type State uint32

// The states.
const (
	Pending State = iota // answered; the transport is not up, or of a publisher nothing has come yet
	Live                 // as it should be
	Away                 // a publisher that fell silent
	Ending               // over, but not gone yet

	states
)

// String returns the state as it stands in metrics.
func (s State) String() string { return [states]string{"pending", "live", "away", "ending"}[s] }

// Times takes in how long things took at the sessions of one role, since the POST where nothing else is said. Any goroutine calls these
// functions; they must neither block nor allocate. One that is nil takes in nothing.
type Times struct {
	Answered  func(time.Duration)
	Connected func(time.Duration) // until the transport was up
	Media     func(time.Duration) // of a viewer that found somebody: until the first packet of media was written to it
	Keyframe  func(time.Duration) // of a viewer: since it could have been sent a stream of pictures, until its first key frame was
}

// Clock runs from a session's POST on.
type Clock struct {
	times Times
	began time.Time
	up    atomic.Bool
	media atomic.Bool // told, or not to be
}

// NewClock makes the Clock of a POST that came at began.
func NewClock(began time.Time, times Times) *Clock { return &Clock{times: times, began: began} }

// Answered says that the POST is answered.
func (c *Clock) Answered() { tell(c.times.Answered, time.Since(c.began)) }

// Connected says that the transport is up. The first time counts.
func (c *Clock) Connected() {
	if c.up.CompareAndSwap(false, true) {
		tell(c.times.Connected, time.Since(c.began))
	}
}

// NobodyThere says that a viewer finds nothing to be sent: how long it waits then is for others to say, and is not told.
func (c *Clock) NobodyThere() { c.media.Store(true) }

// Wrote says that a stream's first packet was written to a viewer who had waited so long for it.
func (c *Clock) Wrote(video bool, waited time.Duration) {
	if c.media.CompareAndSwap(false, true) {
		tell(c.times.Media, time.Since(c.began))
	}
	if video {
		tell(c.times.Keyframe, waited)
	}
}

func tell(to func(time.Duration), d time.Duration) {
	if to != nil {
		to(d)
	}
}

// Reach notes how far the session is.
func (l *Life) Reach(s State) { l.state.Store(uint32(s)) }

// State is how far the session is.
func (l *Life) State() State {
	if s := State(l.state.Load()); s == Ending || l.Ctx.Err() == nil {
		return s
	}
	return Ending
}
