// Package fence keeps a node that was cut off or frozen from sending media to others before its claims have been checked.
//
// While a node cannot be heard others may take over its publishers. Such a node does not notice by itself: a process that was frozen goes
// on where it stood. So the right to send runs out by itself, within Hold, and is renewed by a beat that looks at the clock first.
// Redis has no part in that: while it is away alone, sending goes on.
package fence

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Hold is how long a node may be cut off or frozen without being checked. It is below the time in which others notice.
const Hold = 3 * time.Second

const (
	beatEvery    = 500 * time.Millisecond
	checkTimeout = 10 * time.Second
)

// Config is what a Fence works with; all of it is required.
type Config struct {
	Connected func() bool // whether the bus is there, as far as we know; it must not block
	Log       *slog.Logger
}

// Claims are what is checked: a session.Service.
type Claims interface {
	// Recheck compares the claims of all publishers with Redis: those that lost their place have ended and send no more, the others
	// are restored, when it returns nil.
	Recheck(ctx context.Context) error
	// Rewrite restores what nobody else could have taken. It may take its time.
	Rewrite(ctx context.Context)
}

// Fence is made by main, which runs Run, and asked by the relay.
type Fence struct {
	cfg   Config
	beat  time.Duration
	hold  time.Duration
	proof atomic.Pointer[time.Time] // when the right to send was last known; nil: never

	checks, failed, cuts atomic.Uint64
}

// New makes a Fence that is shut until Run.
func New(cfg Config) *Fence { return &Fence{cfg: cfg, beat: beatEvery, hold: Hold} }

// Open reports whether media may be sent now. It costs a look at the clock and may be called by any goroutine.
func (f *Fence) Open() bool {
	proof := f.proof.Load()
	return proof != nil && near(*proof, time.Now(), f.hold)
}

// Stats is what a Fence did since it was made.
type Stats struct {
	Checks, Failed uint64 // checks of the claims that succeeded, and that have to be repeated
	Cuts           uint64 // times that it shut
}

// Stats reads the counters.
func (f *Fence) Stats() Stats {
	return Stats{Checks: f.checks.Load(), Failed: f.failed.Load(), Cuts: f.cuts.Load()}
}

// near reports whether less than d lies between, by the clock that nobody sets and by that which also runs while a machine is suspended.
func near(then, now time.Time, d time.Duration) bool {
	return now.Sub(then) < d && now.Round(0).Sub(then.Round(0)) < d
}

// Run opens the fence and keeps it open until ctx ends, except after this process stood still, or the bus was away, for Hold or longer:
// then it opens when the claims have been checked. They are also checked after each value of lost, which says that others may have
// taken our records. That does not shut it: a node that was on the bus all the time would have heard who took its place, and
// may merely have lost Redis. Run waits for a check under way.
func (f *Fence) Run(ctx context.Context, lost <-chan struct{}, claims Claims) error {
	var checks sync.WaitGroup
	defer checks.Wait()
	tick := time.NewTicker(f.beat)
	defer tick.Stop()
	done := make(chan error, 1)
	s := state{f: f, last: time.Now()}
	f.prove(s.last)
	for {
		beat := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-lost:
			s.doubt("its records may have been taken")
			beat = true
		case <-tick.C:
			beat = true
		case err := <-done:
			s.checked(err)
		}
		s.look()
		if beat && s.why != "" && !s.running && f.cfg.Connected() {
			s.begin()
			checks.Go(func() { f.check(ctx, claims, done) })
		}
	}
}

// check runs beside the beat, which goes on meanwhile.
func (f *Fence) check(ctx context.Context, claims Claims, done chan<- error) {
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := claims.Recheck(limited)
	done <- err // at most one runs
	if err == nil {
		claims.Rewrite(ctx)
	}
}

func (f *Fence) prove(now time.Time) { f.proof.Store(&now) }

// state is what Run knows.
type state struct {
	f       *Fence
	last    time.Time // when Run last had its turn
	why     string    // a check is needed; "": none is
	cut     bool      // it is needed before anything may be sent
	running bool      // a check is
	void    bool      // its outcome does not count any more
	failed  bool      // the last check; the log knows
}

// look takes in the present moment: it renews the proof, or finds that it has run out.
func (s *state) look() {
	now := time.Now()
	if !near(s.last, now, s.f.hold) {
		s.shut("this process stood still")
	}
	s.last = now
	switch connected := s.f.cfg.Connected(); {
	case s.cut:
	case connected && near(*s.f.proof.Load(), now, s.f.hold):
		s.f.prove(now)
	case connected:
		s.shut("the bus was away")
	}
}

// shut lets nothing out before a check.
func (s *state) shut(why string) {
	if !s.cut {
		s.f.cuts.Add(1)
	}
	s.cut = true
	s.doubt(why)
}

// doubt asks for a check, and makes one that is running count for nothing.
func (s *state) doubt(why string) {
	if s.why == "" && !s.running {
		s.f.cfg.Log.Warn("the sessions of this node are checked", "why", why)
	}
	s.why, s.void = why, s.running
}

func (s *state) begin() { s.running, s.void, s.why = true, false, "" }

// errVoid: something happened while the check was running.
var errVoid = errors.New("has to be repeated")

// checked takes in the outcome of a check.
func (s *state) checked(err error) {
	s.running = false
	now := time.Now()
	if err == nil && (s.void || !near(s.last, now, s.f.hold)) {
		err = errVoid
	}
	if err != nil {
		s.f.failed.Add(1)
		if !s.failed {
			s.f.cfg.Log.Warn("the sessions of this node could not be checked yet", "err", err)
		}
		s.failed = true
		if s.why == "" {
			s.why = "the last check failed"
		}
		return
	}
	s.f.checks.Add(1)
	s.failed = false
	if s.cut {
		s.cut = false
		s.f.prove(now)
	}
	s.f.cfg.Log.Info("the sessions of this node have been checked")
}
