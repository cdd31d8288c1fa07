// Package keyframe gathers wishes for a key frame, so that a publisher hears few of them.
//
// A Stream has one Wisher, in front of its publisher or of the node that has the publisher.
package keyframe

import (
	"sync"
	"time"
)

// Window is the least time between two wishes for a key frame: a key frame costs everybody bandwidth, and an encoder that is
// asked again before it could answer sends two.
const Window = 500 * time.Millisecond

// Wisher lets wishes through: the first goes out at once, those inside the window that follows become one at its end.
// A key frame that begins meanwhile grants them all. It owns one timer, which Stop ends.
type Wisher struct {
	send func()

	mu      sync.Mutex
	last    time.Time   // of the last wish sent
	timer   *time.Timer // runs while a wish waits for the end of the window
	round   uint64      // tells an old timer, too late to be stopped, from the present one
	sent    uint64
	stopped bool
}

// New returns a Wisher that asks by calling send, without a lock of its own; nil: nobody can be asked.
func New(send func()) *Wisher { return &Wisher{send: send} }

// Ask sends or notes a wish.
func (w *Wisher) Ask() {
	w.mu.Lock()
	if w.send == nil || w.stopped || w.timer != nil {
		w.mu.Unlock()
		return
	}
	if wait := Window - time.Since(w.last); wait > 0 && !w.last.IsZero() {
		w.round++
		round := w.round
		w.timer = time.AfterFunc(wait, func() { w.expire(round) })
		w.mu.Unlock()
		return
	}
	w.count()
	w.mu.Unlock()
	w.send()
}

// expire ends the window.
func (w *Wisher) expire(round uint64) {
	w.mu.Lock()
	if w.stopped || w.timer == nil || w.round != round {
		w.mu.Unlock()
		return
	}
	w.timer = nil
	w.count()
	w.mu.Unlock()
	w.send()
}

// count notes that a wish goes out now; the caller holds mu.
func (w *Wisher) count() {
	w.last = time.Now()
	w.sent++
}

// Granted says that a key frame has begun: whoever was waiting is served by it.
func (w *Wisher) Granted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// Stop makes Ask do nothing from now on.
func (w *Wisher) Stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.Granted()
}

// Sent is the number of wishes sent.
func (w *Wisher) Sent() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}
