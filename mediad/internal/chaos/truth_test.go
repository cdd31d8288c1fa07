package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weever/shared/room"
)

// This file looks at what is left of people: in Redis, and in the nodes.

const (
	askLimit   = 3 * time.Second  // of one question to Redis
	cleanLimit = 20 * time.Second // from the fault on, in which nothing of the dead may be left
	idleLimit  = 40 * time.Second // in which the balancer closes the connections to a node that it needs no more
	spare      = 8                // goroutines that a node may have more than before its first session
)

// record is one entry of Redis, and the process it is about; that is empty for entries that are about none.
type record struct{ what, instance string }

// records lists leases, publishers, subscribers, and what the processes named are noted for.
func (s *stage) records(instances ...string) (all []record, errs error) {
	ctx, cancel := context.WithTimeout(s.Context(), askLimit)
	defer cancel()
	leases, err := s.leases.List(ctx)
	errs = errors.Join(errs, err)
	for _, l := range leases {
		all = append(all, record{"lease of " + l.Node, l.Instance})
	}
	rooms, _, err := s.store.Rooms(ctx, "", 1000)
	errs = errors.Join(errs, err)
	for _, r := range rooms {
		pubs, err := s.store.Publishers(ctx, r.Room)
		errs = errors.Join(errs, err)
		for _, p := range pubs {
			all = append(all, record{fmt.Sprintf("publisher %s of %s, %s", p.FullID, p.Owner.Node, p.State), p.Owner.Instance})
		}
		subs, err := s.store.Subscribers(ctx, r.Room)
		errs = errors.Join(errs, err)
		for _, v := range subs {
			all = append(all, record{fmt.Sprintf("subscriber %s of %s", v.FullID, v.Owner.Node), v.Owner.Instance})
		}
	}
	for _, i := range instances {
		rooms, err := s.store.RoomsOf(ctx, i)
		errs = errors.Join(errs, err)
		for _, r := range rooms {
			all = append(all, record{fmt.Sprintf("index entry of %s for %s", s.named(i), r), i})
		}
	}
	return all, errs
}

// named is the node of a process.
func (s *stage) named(instance string) string {
	for _, n := range s.nodes {
		if n.instance == instance {
			return n.id
		}
	}
	return "a process that has ended"
}

// ofDead lists what Redis has of processes that have ended.
func (s *stage) ofDead() (left []string, err error) {
	all, err := s.records(s.dead...)
	for _, r := range all {
		if !slices.ContainsFunc(s.nodes, func(n *node) bool { return n.instance == r.instance }) {
			left = append(left, r.what)
		}
	}
	return left, err
}

// ofAnybody lists what Redis has besides the leases of the nodes that run: nothing, when everybody has left.
func (s *stage) ofAnybody() (left []string, err error) {
	instances := slices.Clone(s.dead)
	for _, n := range s.nodes {
		instances = append(instances, n.instance)
	}
	all, err := s.records(instances...)
	for _, r := range all {
		live := slices.ContainsFunc(s.nodes, func(n *node) bool { return n.instance == r.instance })
		if !live || !strings.HasPrefix(r.what, "lease") {
			left = append(left, r.what)
		}
	}
	return left, err
}

// nothing is an error that says what is left.
func nothing(left []string, err error) error {
	if err == nil && len(left) > 0 {
		err = errors.New(strings.Join(left, "; "))
	}
	return err
}

// present is nil when Redis knows all of a crowd: its publishers live, its viewers there.
func (s *stage) present(c *crowd) error {
	ctx, cancel := context.WithTimeout(s.Context(), askLimit)
	defer cancel()
	rm, err := room.ParseName(c.room)
	if err != nil {
		return err
	}
	pubs, err := s.store.Publishers(ctx, rm)
	if err != nil {
		return err
	}
	live := 0
	for _, p := range pubs {
		if p.State == room.Live {
			live++
		}
	}
	subs, err := s.store.Subscribers(ctx, rm)
	if err == nil && (live < len(c.pubs) || len(subs) < len(c.viewers)) {
		err = fmt.Errorf("%d of %d publishers, %d of %d viewers", live, len(c.pubs), len(subs), len(c.viewers))
	}
	return err
}

// growth is by how many goroutines any node has more than before its first session.
func (s *stage) growth() (most int) {
	for _, n := range s.nodes {
		most = max(most, n.goroutines()-n.baseline)
	}
	return most
}
