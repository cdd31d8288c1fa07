// Package metrics shows an operator all that a node counts, as Prometheus reads it.
//
// main makes one Metrics per node, hands its Instruments to the parts that measure and serves its Handler on the private port. What is
// counted per packet is counted by the parts themselves, in plain integers; a scrape reads them (see table.go). Nothing runs between
// scrapes.
package metrics

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weever/mediad/internal/admission"
	"weever/mediad/internal/fence"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/reaper"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/session"
	"weever/mediad/internal/talk"
	"weever/mediad/internal/udpio"
	"weever/shared/events"
	"weever/shared/redisdb"
)

// prefix is that of all names but those of the Go runtime and the process.
const prefix = "weever_"

// Config says whom to ask at a scrape. Each function may be called by several goroutines at once and must not wait for a backend; one
// that is nil is as one that says nothing.
type Config struct {
	Version string // of this program

	Sessions func() session.Stats
	Relay    func() relay.Stats
	UDP      func() udpio.Stats
	Talk     func() talk.Drops
	Calls    func() nodecall.Stats
	Events   func() events.Stats
	Rooms    func() roster.Stats
	Redis    func() redisdb.Stats
	NATS     map[string]func() nats.Statistics // by connection
	Reaper   func() reaper.Stats
	Fence    func() (open bool, st fence.Stats)
	LeaseAge func() (age time.Duration, held bool) // held: it was refreshed at least once
	Ready    func() bool
	Cert     func() (ends time.Time) // zero: there is none, or nobody is to renew it
	Drain    func() (on bool, left int)
	Backends func() map[string]bool // which are there; the names are few and fixed
	Load     func() []admission.Limit
}

// Metrics is one node's. Its methods may be called by any goroutine.
type Metrics struct {
	Instruments
	registry *prometheus.Registry
}

// New makes Metrics with a registry of their own. Nothing is asked before a scrape.
func New(cfg Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), Instruments: newInstruments()}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newCollector(cfg),
	)
	m.registry.MustRegister(m.all()...)
	return m
}

// Handler serves a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// collector turns readings into metrics, family by family.
type collector struct {
	cfg      Config
	families []family
	descs    []*prometheus.Desc // of families, in their order
}

func newCollector(cfg Config) *collector {
	c := &collector{cfg: cfg, families: families()}
	for _, f := range c.families {
		c.descs = append(c.descs, prometheus.NewDesc(prefix+f.name, f.help, f.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector: each part is asked once.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	r := c.read()
	for i, f := range c.families {
		f.read(r, func(value float64, labels ...string) {
			for n, l := range labels {
				labels[n] = strings.ToValidUTF8(l, "?") // a region or version may be anything
			}
			m, err := prometheus.NewConstMetric(c.descs[i], f.kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(c.descs[i], fmt.Errorf("%s: %w", f.name, err))
			}
			out <- m
		})
	}
}

// reading is what all parts said.
type reading struct {
	version, goVersion string

	sessions session.Stats
	relay    relay.Stats
	udp      udpio.Stats
	talk     talk.Drops
	calls    nodecall.Stats
	events   events.Stats
	rooms    roster.Stats
	redis    redisdb.Stats
	nats     map[string]nats.Statistics
	reaper   reaper.Stats
	backends map[string]bool
	load     limits
	ready    bool

	fence struct {
		fence.Stats
		open bool
	}
	lease struct {
		age  time.Duration
		held bool
	}
	drain struct {
		on   bool
		left int
	}
	cert time.Time // when it expires
}

func (c *collector) read() *reading {
	cfg := &c.cfg
	r := &reading{
		version: cfg.Version, goVersion: runtime.Version(),
		sessions: ask(cfg.Sessions), relay: ask(cfg.Relay), udp: ask(cfg.UDP), talk: ask(cfg.Talk), calls: ask(cfg.Calls),
		events: ask(cfg.Events), rooms: ask(cfg.Rooms), redis: ask(cfg.Redis), reaper: ask(cfg.Reaper),
		backends: ask(cfg.Backends), load: limitsOf(ask(cfg.Load)), ready: ask(cfg.Ready), cert: ask(cfg.Cert), nats: map[string]nats.Statistics{},
	}
	for name, stats := range cfg.NATS {
		r.nats[name] = stats()
	}
	if cfg.Fence != nil {
		r.fence.open, r.fence.Stats = cfg.Fence()
	}
	if cfg.LeaseAge != nil {
		r.lease.age, r.lease.held = cfg.LeaseAge()
	}
	if cfg.Drain != nil {
		r.drain.on, r.drain.left = cfg.Drain()
	}
	return r
}

// ask calls read, if there is one.
func ask[T any](read func() T) (t T) {
	if read != nil {
		t = read()
	}
	return t
}
