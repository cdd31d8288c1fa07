package reaper

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/nodecall"
	"weever/shared/lease"
)

// This file decides who is dead. It asks on the bus: a process whose lease has run out and that answers there has merely lost Redis, and
// one that nobody listens for is dead before its lease has run out. Not so in another region: the bus may be whole here and there while
// the link between is cut, and nobody is heard across. There a lease that is refreshed in time is the better witness.

const (
	// looks is how many times in a row a process must not be there. A node that changes to another server of the bus is not there
	// for half a second, which two looks would take for its death.
	looks     = 4
	deadLooks = 2  // the same of one whose lease has run out
	maxProbed = 10 // processes that one node asks in one round, of those whose lease holds
	maxDead   = 16 // the same of those whose lease does not
	maxJobs   = 4
	pingTime  = time.Second

	// inTime is what a lease has left at least while it is refreshed: one refresh may fail.
	inTime = lease.TTL - 2*lease.Period
)

// finding is what one look at a process found.
type finding uint8

const (
	unknown finding = iota // our own fault
	alive                  // it answered
	silent                 // it did not: dead, frozen or cut off
	absent                 // nobody listens
)

// watch looks at the others once, and takes on jobs. An error is that of Redis.
func (r *Reaper) watch(ctx context.Context) error {
	if !r.link.up(r.cfg.Conn, r.time.Steady) {
		return nil
	}
	all, err := r.list(ctx)
	if err != nil {
		return err
	}
	r.note(all)
	r.round++
	suspects := r.suspects(all)
	dead := make([]bool, len(suspects))
	var group errgroup.Group
	for i, l := range suspects {
		group.Go(func() error {
			dead[i] = r.dead(ctx, l)
			return nil
		})
	}
	_ = group.Wait()
	if !r.link.up(r.cfg.Conn, r.time.Steady) { // what was found may have been our own fault
		return nil
	}
	for i, l := range suspects {
		if !dead[i] || len(r.jobs) >= maxJobs {
			continue
		}
		if err := r.take(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reaper) list(ctx context.Context) ([]lease.Lease, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	return r.cfg.Leases.List(ctx)
}

// suspects are those to look at in this round: of the leases that hold our share, and those that are dead and that nobody cares for.
func (r *Reaper) suspects(all []lease.Lease) []lease.Lease {
	at := slices.IndexFunc(all, func(l lease.Lease) bool { return l.Instance == r.cfg.Self })
	// From our own place on, all round: so the shares of different nodes differ.
	ring := slices.Concat(all[at+1:], all[:max(at, 0)])
	region := ""
	if at >= 0 {
		region = all[at].Region
	}
	var held, out []lease.Lease
	maps.DeleteFunc(r.wrong, func(_ string, at time.Time) bool { return time.Since(at) > sparedFor })
	for _, l := range ring {
		_, spared := r.wrong[l.Instance]
		switch {
		case r.jobs[l.Instance] != nil:
		case !l.Dead && spared: // it came back: we cannot see it, but it lives
		case l.Region != region && l.Remaining > inTime:
		case !l.Dead:
			held = append(held, l)
		case l.Reaper == "" && len(out) < maxDead:
			out = append(out, l)
		}
	}
	return append(out, share(held, maxProbed, r.round)...)
}

// share chooses at most most of a ring that begins behind us. Half are those next to us, so that everybody is always looked at by
// those before; the other half moves on with each round, so that those do not die unnoticed together.
func share(ring []lease.Lease, most, round int) []lease.Lease {
	if len(ring) <= most {
		return ring
	}
	fixed, moving := ring[:most/2], ring[most/2:]
	out := slices.Clone(fixed)
	for i := range most - most/2 {
		out = append(out, moving[(round*(most-most/2)+i)%len(moving)])
	}
	return out
}

// dead looks at a process until it is found there, or was not often enough.
func (r *Reaper) dead(ctx context.Context, l lease.Lease) bool {
	most := looks
	if l.Dead {
		most = deadLooks
	}
	for i := range most {
		if i > 0 {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(r.time.Between):
			}
		}
		switch f := r.probe(ctx, l.Instance); {
		case f == absent, f == silent && l.Dead:
		default:
			return false
		}
	}
	return true
}

// probe looks at a process once.
func (r *Reaper) probe(ctx context.Context, instance string) finding {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	err := r.cfg.Calls.Ping(ctx, instance)
	switch {
	case err == nil:
		return alive
	case errors.Is(err, nodecall.ErrNoNode):
		return absent
	case errors.Is(err, nodecall.ErrTimeout):
		return silent
	}
	return unknown
}

// take claims the job of cleaning up after l. Its lease may have been renewed or claimed meanwhile: then nothing comes of it.
func (r *Reaper) take(ctx context.Context, l lease.Lease) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	if !l.Dead {
		if there, err := r.cfg.Leases.Condemn(ctx, l.Instance, l.Epoch); err != nil || !there {
			return err
		}
		r.wrong[l.Instance] = time.Now()
	}
	mine, err := r.cfg.Leases.Claim(ctx, l.Instance, l.Epoch, r.cfg.Self, r.time.Claim)
	if err != nil || !mine {
		return err
	}
	r.cfg.Log.Warn("a node is dead; cleaning up after it", "dead", name(l))
	r.jobs[l.Instance] = newJob(r, l)
	return nil
}
