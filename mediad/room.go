package main

import (
	"context"
	"errors"

	"weever/mediad/internal/admission"
	"weever/mediad/internal/health"
	"weever/mediad/internal/natsconn"
)

// This file says whether the node has room for sessions, and whether all is there that it needs. newNode calls prepareReadiness, Run runs
// what that makes.

// prepareReadiness makes what judges the load, and what balancers are told of it and of the backends.
func (n *node) prepareReadiness() (err error) {
	n.admission, err = admission.New(admission.Config{
		MaxSessions: n.cfg.Node.MaxSessions, MaxEgress: n.cfg.Node.MaxEgressMbps, MaxCPU: n.cfg.Node.MaxCPU,
		Sessions: func() int { publishers, viewers := n.counts(); return publishers + viewers },
		Sent:     func() uint64 { return n.udp.Stats().BytesOut },
	})
	if err != nil {
		return err
	}
	backends := []health.Backend{
		{Name: "redis", Ask: n.metrics.Probe("redis", n.redis.Ping), Shared: true},
		{Name: "nats", Ask: n.metrics.Probe("nats", func(ctx context.Context) error {
			return natsconn.Answers(ctx, n.control, n.media)
		}), Shared: true},
		{Name: "lease", Ask: n.served(n.place.Held)},
	}
	if n.cfg.Shared.Consul != "" {
		backends = append(backends, health.Backend{Name: "consul", Ask: n.served(n.announced), Shared: true})
	}
	if n.tls != nil {
		backends = append(backends, health.Backend{Name: "tls", Ask: n.tls.Valid})
	}
	n.readiness, err = health.New(health.Config{
		Phase: n.phase, Limits: n.admission.Limits, Awaited: n.awaits, Backends: backends, Log: n.log,
	})
	return err
}

// phase is how far the node's life is.
func (n *node) phase() health.Status {
	switch {
	case n.drain.On():
		return health.Draining
	case n.gate.Load() == nil:
		return health.Starting
	}
	return health.OK
}

// awaits is what a start waits for.
func (n *node) awaits() string {
	if what := n.awaited.Load(); what != nil {
		return *what
	}
	return "first contact with Redis and NATS"
}

// await notes what a start waits for from now on.
func (n *node) await(what string) { n.awaited.Store(&what) }

// served is a question that makes sense once the node serves.
func (n *node) served(ask func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if n.gate.Load() == nil {
			return health.ErrNotYet
		}
		return ask(ctx)
	}
}

// announced is nil while Consul knows this node.
func (n *node) announced(context.Context) error {
	if !n.announce.Up() {
		return errors.New("its agent is away or refuses")
	}
	return nil
}
