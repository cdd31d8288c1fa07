package session

import (
	"context"

	"golang.org/x/sync/errgroup"

	"weever/shared/room"
)

// This file checks the claims of a node whose place others may have taken. Package fence calls it; nothing here outlives a call.

// recheckAtOnce is how many sessions ask Redis at the same time.
const recheckAtOnce = 64

// Recheck compares every publisher of this node with Redis. When it returns nil those whose place was taken have ended and send no more,
// and those that others removed in error are there again.
func (s *Service) Recheck(ctx context.Context) error { return s.recheck(ctx, room.Pub) }

// Rewrite writes the records of all viewers again.
func (s *Service) Rewrite(ctx context.Context) { _ = s.recheck(ctx, room.Sub) }

func (s *Service) recheck(ctx context.Context, role room.Role) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(recheckAtOnce)
	for _, r := range s.registry.all(role) {
		group.Go(func() error { return r.Recheck(ctx) })
	}
	return group.Wait()
}

// all lists the sessions of a role.
func (g *registry) all(role room.Role) []running {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []running
	for _, r := range g.sessions {
		if r.ID.Role == role {
			list = append(list, r)
		}
	}
	return list
}
