package main

import (
	"time"

	"github.com/nats-io/nats.go"

	"weever/mediad/internal/admission"
	"weever/mediad/internal/fence"
	"weever/mediad/internal/metrics"
	"weever/mediad/internal/reaper"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/session"
	"weever/mediad/internal/talk"
	"weever/shared/events"
)

// This file is what an operator may see of the node. newNode calls newMetrics when the connections are made, and before the parts that
// measure; they are asked at scrapes, which come once Run serves.

// newMetrics makes the node's metrics.
func (n *node) newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Config{
		Version: version,
		Sessions: func() session.Stats {
			if n.gate.Load() == nil {
				return session.Stats{}
			}
			return n.sessions.Stats()
		},
		UDP: n.udp.Stats, Redis: n.redis.Stats,
		Relay:    func() relay.Stats { return n.relay.Stats() },
		Talk:     func() talk.Drops { return n.talk.Drops() },
		Calls:    n.calls.Stats,
		Events:   func() events.Stats { return n.bus.Stats() },
		Rooms:    func() roster.Stats { return n.roster.Stats() },
		NATS:     map[string]func() nats.Statistics{"control": n.control.Stats, "media": n.media.Stats},
		Reaper:   func() reaper.Stats { return n.place.Reaper() },
		Fence:    func() (bool, fence.Stats) { return n.fence.Open(), n.fence.Stats() },
		LeaseAge: func() (time.Duration, bool) { return n.place.Age() },
		Ready:    func() bool { return n.readiness.Report().Ready() },
		Cert: func() (ends time.Time) {
			if n.tls != nil {
				ends = n.tls.Ends()
			}
			return ends
		},
		Drain:    func() (bool, int) { return n.drain.On(), n.drain.Left() },
		Backends: func() map[string]bool { return n.readiness.Report().Up() },
		Load:     func() []admission.Limit { return n.admission.Limits() },
	})
}
