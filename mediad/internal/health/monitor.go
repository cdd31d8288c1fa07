// Package health knows whether this node can take sessions, and if not, or not at its best, why.
//
// main makes a Monitor and runs Run, which asks every backend once a second; the private API answers balancers with Report, which waits
// for nobody. A backend that is away degrades the node and no more: running sessions need none, and if one outage made every node unready
// there would be none left to go to.
package health

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/admission"
)

const (
	period   = time.Second            // between two askings of a backend
	patience = 900 * time.Millisecond // with its answer
	firmly   = 2                      // answers in a row that it takes to believe a change
)

// ErrNotYet is no answer.
var ErrNotYet = errors.New("not yet")

// Status is the state of a node.
type Status string

// What a node may be. It takes sessions when it is OK or Degraded.
const (
	Starting Status = "starting" // something is waited for that it takes to begin
	OK       Status = "ok"
	Degraded Status = "degraded" // something is away that sessions can do without for a while
	Full     Status = "full"
	Draining Status = "draining" // also when it has been drained
)

// Backend is something that the node needs besides itself.
type Backend struct {
	Name string
	// Ask asks it: nil when it is there, ErrNotYet when there is nothing to ask yet. It is called by one goroutine and returns soon after
	// ctx has ended.
	Ask func(ctx context.Context) error
	// Shared: other nodes need it, too. It is then also in Report's Backends.
	Shared bool
}

// Config is what a Monitor works with; all of it is required.
type Config struct {
	// Phase, Limits and Awaited are called one at a time, by any goroutine, and must not call Report.
	Phase    func() Status // Starting, OK or Draining
	Limits   func() []admission.Limit
	Awaited  func() string // while Starting: what is waited for, for people
	Backends []Backend
	Log      *slog.Logger
}

// Monitor watches one node. Report may be called by any goroutine.
type Monitor struct {
	cfg Config

	mu      sync.Mutex // guards what follows
	beliefs map[string]*belief
	status  Status // as logged last
	reason  string // likewise
}

// New makes a Monitor of a node that starts and knows nothing of its backends yet.
func New(cfg Config) (*Monitor, error) {
	if cfg.Phase == nil || cfg.Limits == nil || cfg.Awaited == nil || cfg.Log == nil {
		return nil, errors.New("health: all of Config is needed")
	}
	m := &Monitor{cfg: cfg, beliefs: map[string]*belief{}, status: Starting}
	for _, b := range cfg.Backends {
		m.beliefs[b.Name] = &belief{}
	}
	return m, nil
}

// Run asks the backends and logs what changes, until ctx ends; then it returns ctx's error.
func (m *Monitor) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, b := range m.cfg.Backends {
		g.Go(func() error { return m.watch(ctx, b) })
	}
	g.Go(func() error {
		return every(ctx, func() { m.Report() })
	})
	return g.Wait()
}

// watch asks one backend, so that none waits for another.
func (m *Monitor) watch(ctx context.Context, b Backend) error {
	return every(ctx, func() {
		asking, cancel := context.WithTimeout(ctx, patience)
		err := b.Ask(asking)
		cancel()
		if ctx.Err() != nil || errors.Is(err, ErrNotYet) {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.beliefs[b.Name].saw(err, time.Now())
	})
}

// every calls do at once and then once in a period until ctx ends.
func every(ctx context.Context, do func()) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Report says how the node is now. It waits for nobody.
func (m *Monitor) Report() Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	phase, limits := m.cfg.Phase(), m.cfg.Limits() // under the lock: of two Reports the later one has the newer news
	r := Report{Status: phase, Components: map[string]Component{}, Backends: map[string]string{}}
	var away, full, causes []string
	for _, b := range m.cfg.Backends {
		h := m.beliefs[b.Name]
		c := h.component()
		if h.status == down {
			away = append(away, b.Name)
			causes = append(causes, h.err.Error())
		}
		r.Components[b.Name] = c
		if b.Shared {
			r.Backends[b.Name] = c.Status
		}
	}
	for _, l := range limits {
		if l.Full {
			full = append(full, l.Name)
		}
		r.Components[l.Name] = limited(l)
	}
	switch {
	case phase == Starting:
		r.Reason = "waiting for " + m.cfg.Awaited()
	case phase != OK:
	case full != nil:
		r.Status, r.Reason = Full, strings.Join(full, ", ")
	case away != nil:
		r.Status, r.Reason = Degraded, strings.Join(away, ", ")+" away"
	}
	m.tell(r, strings.Join(causes, "; "))
	return r
}

// tell logs a change. The caller holds the lock.
func (m *Monitor) tell(r Report, cause string) {
	if r.Status == m.status && r.Reason == m.reason || r.Status == Starting {
		return
	}
	level, attrs := slog.LevelInfo, []any{"was", string(m.status), "is", string(r.Status)}
	if r.Reason != "" {
		attrs = append(attrs, "reason", r.Reason)
	}
	if r.Status == Full || r.Status == Degraded {
		level = slog.LevelWarn
	}
	if r.Status == Degraded {
		attrs = append(attrs, "err", cause)
	}
	m.cfg.Log.Log(context.Background(), level, "readiness changed", attrs...)
	m.status, m.reason = r.Status, r.Reason
}
