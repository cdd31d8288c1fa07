package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/fence"
	"weever/mediad/internal/reaper"
	"weever/shared/events"
	"weever/shared/lease"
)

// This file is a node's place among the others: its lease, by which they know it; its fence, which keeps it from sending what may be
// theirs by now; and its reaper, which cleans up after those who died. serveSessions takes the place before the first session and
// leaves it after the last.

// awaitLease is the time between looks whether the lease is there.
const awaitLease = 5 * time.Millisecond

// prepareReaper makes the reaper of this node.
func (n *node) prepareReaper(bus *events.Bus) (err error) {
	n.reaper, err = reaper.New(reaper.Config{
		Self: n.instance, Leases: lease.New(n.redis), Store: n.store, Bus: bus, Calls: n.calls, Conn: n.control,
		ResumeWindow: n.cfg.Node.ResumeWindow, Log: n.log,
	})
	return err
}

// newFence makes the fence of this node.
func (n *node) newFence() *fence.Fence {
	return fence.New(fence.Config{Connected: func() bool { return n.control.IsConnected() && n.media.IsConnected() }, Log: n.log})
}

// join takes the place: on return the others can reach this node and know its lease. leave must be called when there is no session
// any more; it waits until the lease is gone, or left to run out because a record is left behind.
func (n *node) join(ctx context.Context, epoch int64) (leave func(), err error) {
	keeper, err := lease.NewKeeper(lease.Config{
		DB: n.redis, Log: n.log, Leftovers: n.leftovers,
		Self: lease.Record{
			Node: n.cfg.Node.ID, Instance: n.instance, Epoch: epoch,
			URL: n.advertisedURL(), Region: n.cfg.Node.Region, Version: version,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("the lease of this node: %w", err)
	}
	select {
	case <-n.calls.Ready():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	held, stop := context.WithCancel(context.WithoutCancel(ctx))
	var parts errgroup.Group
	parts.Go(func() error { return quiet(keeper.Run(held)) })
	parts.Go(func() error { return quiet(n.fence.Run(held, keeper.Lost(), n.sessions)) })
	parts.Go(func() error { return quiet(n.reaper.Run(held)) })
	leave = func() {
		stop()
		_ = parts.Wait() // none of them fails
	}
	again := time.NewTicker(awaitLease)
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

// leftovers reports whether Redis has records of this process.
func (n *node) leftovers(ctx context.Context) (bool, error) {
	rooms, err := n.store.RoomsOf(ctx, n.instance)
	return len(rooms) > 0, err
}
