// Package drain decides when a node is emptied: who began it, who waits for it, and whether it was called off.
//
// main makes a Drain and has it End the node; the private API starts one and calls it off. How sessions are asked to leave is package
// session's affair.
package drain

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

var (
	// ErrEnding says that a drain cannot be called off: the process ends after it.
	ErrEnding = errors.New("the node is ending")
	// ErrOff says that the drain was called off before it was done.
	ErrOff = errors.New("the drain was called off")
)

// Sessions are what is drained: a session.Service.
type Sessions interface {
	// Shut takes no more sessions, until Stay.
	Shut()
	// Drain is Shut, and returns when all have left, at that time, or when ctx ends.
	Drain(ctx context.Context, by time.Time)
	// Stay undoes both.
	Stay()
	// Counts gives how many there are.
	Counts() (publishers, viewers int)
}

// Config is what a Drain works with.
type Config struct {
	Timeout time.Duration // how long sessions have to leave; 0: none waits
	Log     *slog.Logger
}

// Drain is the emptying of one node. Its methods may be called by any goroutine.
type Drain struct {
	cfg  Config
	turn chan struct{} // capacity 1: who has put something in may tell the balancers

	mu       sync.Mutex // guards what follows
	sessions Sessions   // nil: there are none yet
	announce func(ctx context.Context, draining bool) error
	now      *Run // nil: the node serves
	ending   bool
}

// New makes the Drain of a node that serves.
func New(cfg Config) *Drain { return &Drain{cfg: cfg, turn: make(chan struct{}, 1)} }

// Serve says what is to be drained, and who tells the balancers of it (nil: nobody). If a drain has begun the sessions are shut and the
// balancers told when it returns.
func (d *Drain) Serve(ctx context.Context, sessions Sessions, announce func(ctx context.Context, draining bool) error) {
	d.mu.Lock()
	d.sessions, d.announce = sessions, announce
	late := d.now != nil
	if late {
		sessions.Shut()
	}
	d.mu.Unlock()
	if late {
		d.tell(ctx)
	}
}

// Run is one drain, from its start until it is done or called off.
type Run struct {
	sessions Sessions
	off      context.CancelCauseFunc
	life     context.Context //nolint:containedctx // ends when the drain is called off
	done     chan struct{}
}

// Start begins a drain, or joins the one that has begun or is done already. It does not wait.
func (d *Drain) Start() *Run {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.startLocked()
}

func (d *Drain) startLocked() *Run {
	if d.now != nil {
		return d.now
	}
	r := &Run{sessions: d.sessions, done: make(chan struct{})}
	r.life, r.off = context.WithCancelCause(context.Background())
	d.now = r
	if r.sessions == nil {
		close(r.done)
		return r
	}
	r.sessions.Shut() // before anybody can ask whether the node is ready
	publishers, viewers := r.sessions.Counts()
	d.cfg.Log.Info("draining", "publishers", publishers, "viewers", viewers, "deadline", d.cfg.Timeout)
	go d.carryOut(r)
	return r
}

// carryOut ends with the drain.
func (d *Drain) carryOut(r *Run) {
	defer close(r.done)
	var told sync.WaitGroup
	defer told.Wait()
	told.Go(func() { d.tell(r.life) })
	began := time.Now()
	r.sessions.Drain(r.life, began.Add(d.cfg.Timeout))
	if r.life.Err() == nil {
		d.cfg.Log.Info("drained", "left", r.Left(), "took", time.Since(began).Round(time.Millisecond))
	}
}

// tell tells the balancers how things stand, if it can: what they do not hear they see by the readiness. It takes turns, so that what
// they hear last is true.
func (d *Drain) tell(ctx context.Context) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return
	}
	d.mu.Lock()
	announce, draining := d.announce, d.now != nil
	d.mu.Unlock()
	if announce == nil {
		return
	}
	if err := announce(ctx, draining); err != nil && ctx.Err() == nil {
		d.cfg.Log.Warn("balancers were not told; they will be", "draining", draining, "err", err)
	}
}

// Wait waits until the drain is done and says how many sessions are left; ErrOff when it was called off, ErrEnding when the node
// ended meanwhile. ctx ends the waiting, not the
// drain.
func (r *Run) Wait(ctx context.Context) (left int, err error) {
	select {
	case <-r.done:
	case <-ctx.Done():
		return r.Left(), context.Cause(ctx)
	}
	return r.Left(), context.Cause(r.life)
}

// Left is the number of sessions that run.
func (r *Run) Left() int {
	if r.sessions == nil {
		return 0
	}
	publishers, viewers := r.sessions.Counts()
	return publishers + viewers
}

// End drains for the last time, or waits for the drain that is on, and returns when it is done: the node may end then. From now on it
// cannot be called off. ctx ends the waiting.
func (d *Drain) End(ctx context.Context) {
	d.mu.Lock()
	d.ending = true
	r := d.startLocked()
	d.mu.Unlock()
	_, _ = r.Wait(ctx)
}

// Cancel calls a drain off, even one that is done: the node takes sessions again when it returns, and the balancers have been told, if
// they could. It is false when there was none.
func (d *Drain) Cancel(ctx context.Context) (bool, error) {
	r, err := d.open()
	if r == nil {
		return false, err
	}
	d.tell(ctx)
	return true, nil
}

// Close ends what a drain does, when the node has ended. It waits for it.
func (d *Drain) Close() {
	d.mu.Lock()
	r := d.now
	d.ending = true
	d.mu.Unlock()
	if r != nil {
		r.off(ErrEnding)
		<-r.done
	}
}

// open ends the drain that is on and opens the doors; nil when there is none.
func (d *Drain) open() (*Run, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ending:
		return nil, ErrEnding
	case d.now == nil:
		return nil, nil
	}
	r := d.now
	d.now = nil
	r.off(ErrOff)
	if d.sessions != nil {
		d.sessions.Stay()
	}
	d.cfg.Log.Info("the drain was called off", "left", r.Left())
	return r, nil
}

// On reports whether the node drains or has been drained.
func (d *Drain) On() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now != nil
}

// Left is the number of sessions that a drain still waits for, or has given up waiting for; 0 when there is none.
func (d *Drain) Left() int {
	d.mu.Lock()
	r := d.now
	d.mu.Unlock()
	if r == nil {
		return 0
	}
	return r.Left()
}
