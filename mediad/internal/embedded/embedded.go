// Package embedded runs a Redis and a NATS within this process, on loopback, for development: they keep nothing.
//
// main starts them with --dev, before the node, and closes them after it.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
)

const (
	startLimit = 5 * time.Second        // for NATS to listen
	clockStep  = 100 * time.Millisecond // in which Redis, which has no clock of its own, is told that time passes
)

// Redis is a Redis server.
type Redis struct{ srv *miniredis.Miniredis }

// StartRedis starts one on a free port.
func StartRedis() (*Redis, error) {
	r := &Redis{miniredis.NewMiniRedis()}
	if err := r.srv.Start(); err != nil {
		return nil, fmt.Errorf("starting the embedded Redis: %w", err)
	}
	return r, nil
}

// URL is where it is.
func (r *Redis) URL() string { return "redis://" + r.srv.Addr() }

// Run drives its clock until ctx ends and returns ctx's error. Without it no key expires.
func (r *Redis) Run(ctx context.Context) error {
	tick := time.NewTicker(clockStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			r.srv.FastForward(clockStep)
		}
	}
}

// Close ends it.
func (r *Redis) Close() { r.srv.Close() }

// NATS is a NATS server.
type NATS struct{ srv *natsserver.Server }

// StartNATS starts one on a free port and returns when it listens.
func StartNATS() (*NATS, error) {
	srv, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		return nil, fmt.Errorf("starting the embedded NATS: %w", err)
	}
	n := &NATS{srv}
	srv.Start()
	if !srv.ReadyForConnections(startLimit) {
		n.Close()
		return nil, errors.New("the embedded NATS does not listen")
	}
	return n, nil
}

// URL is where it is.
func (n *NATS) URL() string { return n.srv.ClientURL() }

// Close ends it and waits for that.
func (n *NATS) Close() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}
