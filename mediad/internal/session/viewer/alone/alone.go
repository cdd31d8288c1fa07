// Package alone says when a WHEP player has waited long enough for its publisher.
//
// A viewer makes a Wait, shows it what it sees, and ends when Over says so.
package alone

import "time"

// patience is how long a WHEP player waits for its publisher to return.
const patience = 60 * time.Second

// Wait is for one goroutine at a time.
type Wait struct {
	timer *time.Timer
	runs  bool
}

// New makes a Wait that has not begun.
func New() *Wait {
	w := &Wait{timer: time.NewTimer(patience)}
	w.timer.Stop()
	return w
}

// Look takes in whether something plays; while nothing does, the time runs.
func (w *Wait) Look(playing bool) {
	switch {
	case playing != w.runs: // nothing new
	case playing:
		w.Stop()
	default:
		w.runs = true
		w.timer.Reset(patience)
	}
}

// Over gets a value when it was long enough.
func (w *Wait) Over() <-chan time.Time { return w.timer.C }

// Stop ends the wait, until Look begins another.
func (w *Wait) Stop() {
	w.runs = false
	w.timer.Stop()
}
