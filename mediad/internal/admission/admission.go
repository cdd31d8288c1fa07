// Package admission decides whether a node has room for more sessions: by their number, by what it sends and by the CPU it uses.
//
// main makes an Admission and runs Run, which measures once a second; package session asks Admit at every POST, package health tells
// balancers what Limits says. Being full never touches sessions that run.
//
// A node is full when a limit is reached, and has room again only when it has been well below it for a while: else it would be in and out
// of the balancers' lists all the time. The number of sessions at a POST is not judged here but by the registry of package session, exactly:
// where one has left, one may come, though balancers may not send it yet.
package admission

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"weever/shared/apierr"
)

const (
	period = time.Second // between two measurements
	window = 5           // periods that a rate is the average of
	calm   = 5 * time.Second
	roomy  = 0.9 // of the limit: below it there is room
)

// The names of the limits.
const (
	Sessions = "sessions"
	Egress   = "egress"
	CPU      = "cpu"
)

// Config is what an Admission works with.
type Config struct {
	MaxSessions int // 0: no limit
	MaxEgress   int // Mbit/s; 0: no limit
	MaxCPU      int // percent of the cores that this process may use; 0: no limit

	Sessions func() int           // how many run
	Sent     func() uint64        // bytes sent since some moment; never falls
	Used     func() time.Duration // CPU time since some moment, never falls; nil: that of this process
}

// Admission is the state of one node's limits. Its methods may be called by any goroutine.
type Admission struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	sessions gauge
	egress   gauge
	cpu      gauge
	past     []sample // the latest window+1
}

// sample is what was measured at one time.
type sample struct {
	at   time.Time
	sent uint64
	used time.Duration
}

// Limit is one of the limits and how near it is.
type Limit struct {
	Name  string  // Sessions, Egress or CPU
	Value float64 // of sessions: now; of the others: the average of the last seconds
	Max   float64 // 0: no limit
	Unit  string
	Full  bool
}

// New makes an Admission with room. It fails when CPU time is to be limited where it cannot be measured.
func New(cfg Config) (*Admission, error) {
	if cfg.Sessions == nil || cfg.Sent == nil {
		return nil, errors.New("admission: Sessions and Sent are needed")
	}
	if cfg.Used == nil {
		if _, known := processTime(); !known && cfg.MaxCPU > 0 {
			return nil, errors.New("--max-cpu: this system does not tell how much CPU time a process has used; leave the flag out")
		}
		cfg.Used = func() time.Duration { d, _ := processTime(); return d }
	}
	return &Admission{
		cfg: cfg, sessions: gauge{max: float64(cfg.MaxSessions)}, egress: gauge{max: float64(cfg.MaxEgress)}, cpu: gauge{max: float64(cfg.MaxCPU)},
	}, nil
}

// Run measures until ctx ends and returns its error.
func (a *Admission) Run(ctx context.Context) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		a.measure()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (a *Admission) measure() {
	count := a.cfg.Sessions()
	now := sample{time.Now(), a.cfg.Sent(), a.cfg.Used()}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions.see(float64(count), now.at)
	if a.past = append(a.past, now); len(a.past) <= window {
		return // a node that starts is busy with that
	}
	then := a.past[0]
	a.past = append(a.past[:0], a.past[1:]...)
	if took := now.at.Sub(then.at).Seconds(); took > 0 {
		a.egress.see(float64(now.sent-then.sent)*8/1e6/took, now.at)
		a.cpu.see(100*(now.used-then.used).Seconds()/took/float64(runtime.GOMAXPROCS(0)), now.at)
	}
}

// Limits tells of all limits, in a fixed order. The sessions are counted anew.
func (a *Admission) Limits() []Limit {
	count := a.cfg.Sessions()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions.see(float64(count), time.Now())
	return []Limit{a.sessions.limit(Sessions, ""), a.egress.limit(Egress, "Mbit/s"), a.cpu.limit(CPU, "%")}
}

// Admit refuses a new session with apierr.Unavailable while the node sends as much as it may, or is as busy as it may be. It costs a lock.
func (a *Admission) Admit() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var full []string
	if a.egress.full {
		full = append(full, "sends as much as it may")
	}
	if a.cpu.full {
		full = append(full, "is as busy as it may be")
	}
	if full == nil {
		return nil
	}
	return apierr.New(apierr.Unavailable, "this node %s; try again, another may answer", strings.Join(full, " and ")).After(calm)
}

// gauge is a value with a limit.
type gauge struct {
	max   float64 // 0: no limit
	value float64
	full  bool
	since time.Time // while full: since when the value has been well below max; zero: it is not
}

// see takes in a value.
func (g *gauge) see(value float64, now time.Time) {
	g.value = value
	switch {
	case g.max == 0:
	case value >= g.max:
		g.full, g.since = true, time.Time{}
	case value > roomy*g.max:
		g.since = time.Time{}
	case !g.full:
	case g.since.IsZero():
		g.since = now
	case now.Sub(g.since) >= calm:
		g.full = false
	}
}

func (g *gauge) limit(name, unit string) Limit {
	return Limit{Name: name, Value: g.value, Max: g.max, Unit: unit, Full: g.full}
}
