// Package place is a node's place among the others: its lease, by which they know it; its fence, which keeps it from sending what may be
// theirs by now; and its reaper, which cleans up after those who died.
//
// main makes a Place, takes the place with Epoch and Join before the first session and leaves it after the last.
package place

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/fence"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/reaper"
	"weever/shared/events"
	"weever/shared/lease"
	"weever/shared/redisdb"
	"weever/shared/store"
)

const (
	await        = 5 * time.Millisecond   // between looks whether the lease is there
	contactRetry = 500 * time.Millisecond // between attempts to reach Redis and NATS for the first time
)

// Config is what a Place works with; all of it is required.
type Config struct {
	Instance     string // of this process
	DB           *redisdb.DB
	Store        *store.Store
	Bus          *events.Bus
	Calls        *nodecall.Calls
	Conn         *nats.Conn   // that of Bus and Calls
	Fence        *fence.Fence // run by Join
	ResumeWindow time.Duration
	Log          *slog.Logger
}

// Place is made by main.
type Place struct {
	cfg    Config
	reaper *reaper.Reaper
	keeper atomic.Pointer[lease.Keeper] // nil before Join
}

// New makes a Place; it does nothing yet.
func New(cfg Config) (*Place, error) {
	r, err := reaper.New(reaper.Config{
		Self: cfg.Instance, Leases: lease.New(cfg.DB), Store: cfg.Store, Bus: cfg.Bus, Calls: cfg.Calls, Conn: cfg.Conn,
		ResumeWindow: cfg.ResumeWindow, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Place{cfg: cfg, reaper: r}, nil
}

// Epoch waits until Redis and, as onBus says, NATS have been reached once, and takes the epoch of this start of the node.
func (p *Place) Epoch(ctx context.Context, node string, onBus func() bool) (int64, error) {
	reported := false
	for {
		epoch, err := p.cfg.Store.StartEpoch(ctx, node)
		if err == nil && !onBus() {
			err = errors.New("NATS is not connected yet")
		}
		if err == nil {
			return epoch, nil
		}
		if !reported && ctx.Err() == nil {
			p.cfg.Log.Warn("not ready: waiting for Redis and NATS", "err", err)
			reported = true
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(contactRetry):
		}
	}
}

// Join takes the place as self: on return the others can reach this node and know its lease. claims are what it has in the rooms. leave
// must be called when there is no session any more; it waits until the lease is gone, or left to run out because a record is left behind.
// Join ends early with ctx; what it has begun goes on without it, until leave.
func (p *Place) Join(ctx context.Context, self lease.Record, claims fence.Claims) (leave func(), err error) {
	keeper, err := lease.NewKeeper(lease.Config{DB: p.cfg.DB, Log: p.cfg.Log, Leftovers: p.leftovers, Self: self})
	if err != nil {
		return nil, fmt.Errorf("the lease of this node: %w", err)
	}
	select {
	case <-p.cfg.Calls.Ready():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.keeper.Store(keeper)
	held, stop := context.WithCancel(context.WithoutCancel(ctx))
	var parts errgroup.Group // none of them fails
	parts.Go(func() error { return keeper.Run(held) })
	parts.Go(func() error { return p.cfg.Fence.Run(held, keeper.Lost(), claims) })
	parts.Go(func() error { return p.reaper.Run(held) })
	leave = func() {
		stop()
		_ = parts.Wait()
	}
	again := time.NewTicker(await)
	defer again.Stop()
	for keeper.Age() >= lease.TTL {
		select {
		case <-again.C:
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	return leave, nil
}

// Held is nil while the others know this node by its lease.
func (p *Place) Held(context.Context) error {
	if k := p.keeper.Load(); k == nil || k.Age() >= lease.TTL {
		return errors.New("the lease has run out")
	}
	return nil
}

// leftovers reports whether Redis has records of this process.
func (p *Place) leftovers(ctx context.Context) (bool, error) {
	rooms, err := p.cfg.Store.RoomsOf(ctx, p.cfg.Instance)
	return len(rooms) > 0, err
}
