// Package lease keeps in Redis which nodes are alive, by the clock of Redis, and who cleans up after one that is not.
//
// Each process that serves sessions has a lease and a Keeper that refreshes it. A process that stopped doing so is found by the others
// with Expired; one of them claims the job of removing its records, and is done when they are removed. Redis' own absence is nobody's
// death: after one all nodes have the time of a lease to come back before anybody's counts as expired.
package lease

import (
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/redisdb"
)

//go:embed lease.lua
var lua string

// script does all that concerns a lease.
var script = redis.NewScript(lua)

// Lease is a Record with its state at the moment it was read.
type Lease struct {
	Record
	Remaining time.Duration // until it expires; not above 0: it did so that long ago, or was condemned
	Dead      bool          // expired or condemned, and to be believed: it may be claimed
	Reaper    string        // instance that claims the job of cleaning up; "" when nobody does
}

// Leases is the table of leases. It is made by New, used by many goroutines, and needs no end of its own.
type Leases struct {
	db *redisdb.DB
}

// New makes a Leases.
func New(db *redisdb.DB) *Leases { return &Leases{db: db} }

// List gives all leases, expired ones too, by node and instance. What cannot be understood is left out: another version wrote it.
func (l *Leases) List(ctx context.Context) ([]Lease, error) {
	reply, err := script.Run(ctx, l.db.Client(), l.keys(), "list", "").StringSlice()
	if err != nil {
		return nil, redisdb.Unavailable("list leases", err)
	}
	if len(reply) == 0 {
		return nil, redisdb.Unavailable("list leases", errors.New("empty reply"))
	}
	now := number(reply[0])
	list := []Lease{}
	for rest := reply[1:]; len(rest) >= 3; rest = rest[3:] {
		if e, err := decode(rest[0], rest[1], now); err == nil {
			e.Dead = rest[2] == "1"
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Lease) int {
		return strings.Compare(a.Node+" "+a.Instance, b.Node+" "+b.Instance)
	})
	return list, nil
}

// Expired gives the leases that wait for a reaper: dead, and claimed by nobody or by one that took too long.
func (l *Leases) Expired(ctx context.Context) ([]Lease, error) {
	list, err := l.List(ctx)
	return slices.DeleteFunc(list, func(e Lease) bool { return !e.Dead || e.Reaper != "" }), err
}

// Claim takes the job of cleaning up after a dead instance, for d; by is the claimer's own instance. It is true for one claimer only,
// until d has passed. Called again by the same claimer it prolongs the claim: a reaper does so before each room, and stops when it is
// false. That means that the process has come back, that somebody else cleans up, or that it is done.
func (l *Leases) Claim(ctx context.Context, instance string, epoch int64, by string, d time.Duration) (bool, error) {
	if err := checkInstance(by); err != nil {
		return false, fmt.Errorf("claiming: %w", err)
	}
	return l.ask(ctx, "claim", instance, epoch, by, d.Microseconds())
}

// Done removes the lease of a dead instance for good, after all its records were removed. It is false when the job was not the
// caller's any more, as with Claim: then nothing was changed.
func (l *Leases) Done(ctx context.Context, instance string, epoch int64, by string) (bool, error) {
	return l.ask(ctx, "done", instance, epoch, by)
}

// Condemn ends a lease before its time, for who knows by other ways than the clock that the process is dead. If it lives, it learns
// of this by its next refresh and has its lease back. It is false when there is no such lease.
func (l *Leases) Condemn(ctx context.Context, instance string, epoch int64) (bool, error) {
	return l.ask(ctx, "condemn", instance, epoch)
}

// ask runs an operation whose reply is yes or no.
func (l *Leases) ask(ctx context.Context, op, instance string, epoch int64, args ...any) (bool, error) {
	yes, err := script.Run(ctx, l.db.Client(), l.keys(), append([]any{op, instance, epoch}, args...)...).Bool()
	if err != nil {
		return false, redisdb.Unavailable(op+" lease", err)
	}
	return yes, nil
}

func (l *Leases) keys() []string { return []string{l.db.Key("leases")} }
