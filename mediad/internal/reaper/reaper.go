// Package reaper cleans up after nodes that died, once each, whichever survivor comes first.
//
// Each node runs one. It watches the other processes that have a lease (watch.go), and of those that are dead claims the job of
// removing what they left in Redis (job.go). Where it dies itself midway, its claim runs out and another goes on.
package reaper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"weever/mediad/internal/nodecall"
	"weever/shared/events"
	"weever/shared/lease"
	"weever/shared/store"
)

// Timing. PUB_AWAY comes within period and (looks-1) times between, and a moment, after a process was killed.
const (
	period    = 2 * time.Second        // between two looks at the others
	between   = 300 * time.Millisecond // between the looks that confirm a death
	workEvery = 500 * time.Millisecond // between two turns at the jobs
	steady    = 3 * time.Second        // how long our own bus connection must be up before we judge others by it
	claimFor  = 10 * time.Second
	opTimeout = 3 * time.Second // of one thing asked of Redis
	sparedFor = time.Minute
)

// Config says what a Reaper works with; all but Timing is required.
type Config struct {
	Self         string // instance of this process
	Leases       *lease.Leases
	Store        *store.Store
	Bus          *events.Bus
	Calls        *nodecall.Calls
	Conn         *nats.Conn    // that of Bus and Calls
	ResumeWindow time.Duration // between away and left
	Log          *slog.Logger
	Timing       Timing // what is 0 has its default
}

// Timing is for tests that cannot wait.
type Timing struct {
	Period, Between, Steady, Claim time.Duration
}

// Reaper is made by main, which runs Run.
type Reaper struct {
	cfg  Config
	time Timing

	reaped atomic.Uint64
	seen   atomic.Pointer[map[Kind]int]

	// Owned by Run.
	link  link
	round int                  // of watch
	wrong map[string]time.Time // when we condemned a process by the bus alone, by instance
	jobs  map[string]*job      // by instance
	away  bool                 // Redis did not answer the last time
}

// New makes a Reaper.
func New(cfg Config) (*Reaper, error) {
	if cfg.Self == "" || cfg.Leases == nil || cfg.Store == nil || cfg.Bus == nil || cfg.Calls == nil || cfg.Conn == nil || cfg.Log == nil {
		return nil, errors.New("reaper: all of Config but ResumeWindow and Timing is needed")
	}
	t := cfg.Timing
	for _, d := range []struct {
		set   *time.Duration
		value time.Duration
	}{{&t.Period, period}, {&t.Between, between}, {&t.Steady, steady}, {&t.Claim, claimFor}} {
		if *d.set == 0 {
			*d.set = d.value
		}
	}
	return &Reaper{cfg: cfg, time: t, wrong: map[string]time.Time{}, jobs: map[string]*job{}}, nil
}

// Run watches and cleans up until ctx ends. Jobs that are not done then are left to others, who may take them when the claim has run
// out. While Redis or the bus is away it does nothing: that is nobody's death.
func (r *Reaper) Run(ctx context.Context) error {
	watch := time.NewTicker(r.time.Period)
	defer watch.Stop()
	work := time.NewTicker(min(workEvery, r.time.Period))
	defer work.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-work.C:
			r.link.look(r.cfg.Conn)
		case <-watch.C:
			r.report(ctx, r.watch(ctx))
		}
		for _, instance := range slices.Sorted(maps.Keys(r.jobs)) {
			r.turn(ctx, r.jobs[instance])
		}
	}
}

// turn goes on with a job.
func (r *Reaper) turn(ctx context.Context, j *job) {
	over, err := j.work(ctx)
	r.report(ctx, err)
	if over {
		delete(r.jobs, j.lease.Instance)
	}
}

// report logs the beginning and the end of an outage of Redis.
func (r *Reaper) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !r.away:
		r.cfg.Log.Warn("cannot look after dead nodes now; it will be done", "err", err)
		r.away = true
	case err == nil && r.away:
		r.away = false
	}
}

// limited bounds one thing asked of Redis.
func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, opTimeout)
}

// link says how long our own connection to the bus has been up.
type link struct {
	reconnects uint64
	since      time.Time // zero: it is down
}

// look takes in the present state.
func (l *link) look(nc *nats.Conn) {
	n := nc.Stats().Reconnects
	switch {
	case !nc.IsConnected():
		l.since = time.Time{}
	case l.since.IsZero() || n != l.reconnects:
		l.since = time.Now()
	}
	l.reconnects = n
}

// up reports whether it has been up that long, and is.
func (l *link) up(nc *nats.Conn, long time.Duration) bool {
	l.look(nc)
	return !l.since.IsZero() && time.Since(l.since) >= long
}

// name is how a process is called in the log.
func name(l lease.Lease) string { return fmt.Sprintf("%s/%s", l.Node, l.Instance) }
