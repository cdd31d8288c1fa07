// Package roster knows the publishers of each room that somebody on this node is in.
//
// It hears of changes from the bus, and Redis has the last word: each open room is compared with it every few seconds, and at
// once when something was missed. Nobody is dropped because a backend is away or empty.
package roster

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/shared/apierr"
	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/store"
)

const (
	defaultHealEvery = 5 * time.Second
	openLimit        = 5 * time.Second        // for loading a room
	healLimit        = 3 * time.Second        // for healing all, at least
	gapDelay         = 100 * time.Millisecond // what is merely late arrives in this time
	healAtOnce       = 8                      // rooms read at the same time
)

// Config says what a Roster works with.
type Config struct {
	Store     *store.Store
	Bus       *events.Bus
	Log       *slog.Logger
	HealEvery time.Duration // between two looks into Redis; 0: 5 s. Whoever is missing there for twice that time has left.
}

// Roster holds the open rooms of a node. It is made by main, which runs Run, and used by all sessions.
type Roster struct {
	store     *store.Store
	bus       *events.Bus
	log       *slog.Logger
	healEvery time.Duration
	wake      chan struct{} // holds at most one value: look at due

	heals, failed, gaps atomic.Uint64

	mu    sync.Mutex
	rooms map[room.Name]*table
	due   map[*table]bool // rooms to heal before their time; true: also when there is no gap
}

// New makes a Roster without rooms.
func New(c Config) *Roster {
	if c.HealEvery <= 0 {
		c.HealEvery = defaultHealEvery
	}
	return &Roster{
		store: c.Store, bus: c.Bus, log: c.Log, healEvery: c.HealEvery,
		wake: make(chan struct{}, 1), rooms: map[room.Name]*table{}, due: map[*table]bool{},
	}
}

// Open returns a hold on the room, which is then kept up to date by the bus, and by Run, until the last hold is closed. It waits until
// the room is known, at most five seconds or until ctx ends; whoever opens a room meanwhile waits for the same answer. It
// fails with apierr.Unavailable when Redis is away and the room was not open yet.
func (r *Roster) Open(ctx context.Context, rm room.Name) (*Room, error) {
	r.mu.Lock()
	t := r.rooms[rm]
	if t == nil {
		loading, cancel := context.WithTimeout(context.WithoutCancel(ctx), openLimit)
		t = newTable(rm, cancel)
		r.rooms[rm] = t
		go r.load(loading, t)
	}
	t.refs++
	r.mu.Unlock()

	select {
	case <-t.ready:
	case <-ctx.Done():
		r.release(t)
		return nil, fmt.Errorf("open room: %w", ctx.Err())
	}
	if t.failed != nil {
		r.release(t)
		return nil, t.failed
	}
	return &Room{r: r, t: t}, nil
}

// load listens first and reads then, so that no change falls between the two. It ends within openLimit.
func (r *Roster) load(ctx context.Context, t *table) {
	defer t.cancel()
	stop, err := r.bus.Subscribe(t.name, func(ev events.Event) { r.apply(t, ev) })
	if err != nil {
		err = apierr.Wrap(apierr.Unavailable, err, "the room cannot be followed now; try again").After(2 * time.Second)
	} else {
		err = r.heal(ctx, t)
	}
	r.mu.Lock()
	unused := t.refs == 0
	if t.failed = err; err == nil && !unused {
		t.stop, stop = stop, nil
	} else if r.rooms[t.name] == t {
		delete(r.rooms, t.name)
	}
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
	close(t.ready)
	// Between the servers of a NATS cluster a new subscription travels on its own: what it missed shows at a second look.
	r.nudge(t, true)
}

// release gives up one hold on t.
func (r *Roster) release(t *table) {
	r.mu.Lock()
	t.refs--
	last, stop := t.refs == 0, t.stop
	if last {
		if r.rooms[t.name] == t {
			delete(r.rooms, t.name)
		}
		delete(r.due, t)
	}
	r.mu.Unlock()
	if last {
		t.cancel()
		if stop != nil {
			stop()
		}
	}
}

func (r *Roster) apply(t *table, ev events.Event) {
	gap, opened := t.apply(ev)
	if opened {
		r.gaps.Add(1)
	}
	if gap {
		r.nudge(t, false)
	}
}

// Stats is a reading of a Roster's counters since it was made, and how many rooms it follows now.
type Stats struct {
	Rooms         int
	Heals, Failed uint64 // comparisons of a room with Redis that were made, and that could not be made
	Gaps          uint64 // times that an event showed that one before it was missing, or late
}

// Stats reads the counters.
func (r *Roster) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{Rooms: len(r.rooms), Heals: r.heals.Load(), Failed: r.failed.Load(), Gaps: r.gaps.Load()}
}

// nudge asks Run to heal t soon: for certain, or if by then it has a gap.
func (r *Roster) nudge(t *table, certain bool) {
	r.mu.Lock()
	if r.rooms[t.name] == t {
		r.due[t] = r.due[t] || certain
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run compares the open rooms with Redis until ctx ends, then returns nil. Without it rooms still follow the bus, but nothing that was
// lost is ever mended.
func (r *Roster) Run(ctx context.Context) error {
	back := r.bus.Reconnects(ctx)
	tick := time.NewTicker(r.healEvery)
	defer tick.Stop()
	var soon <-chan time.Time
	var away bool
	for ctx.Err() == nil {
		var rooms []*table
		select {
		case <-ctx.Done():
			continue
		case <-r.wake:
			if soon == nil {
				soon = time.After(gapDelay)
			}
			continue
		case <-soon:
			soon = nil
			rooms = r.takeDue()
		case <-tick.C:
			rooms = r.loaded()
		case <-back:
			rooms = r.loaded()
		}
		away = r.healAll(ctx, rooms, away)
	}
	for more := true; more; { // until its goroutine has ended
		_, more = <-back
	}
	return nil
}

// loaded lists the rooms that can be healed.
func (r *Roster) loaded() []*table {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*table, 0, len(r.rooms))
	for _, t := range r.rooms {
		if t.stop != nil {
			list = append(list, t)
		}
	}
	return list
}

// takeDue lists and forgets the rooms that need healing before their time.
func (r *Roster) takeDue() []*table {
	r.mu.Lock()
	due := r.due
	r.due = map[*table]bool{}
	maps.DeleteFunc(due, func(t *table, _ bool) bool { return t.stop == nil }) // load reads them
	r.mu.Unlock()
	var list []*table
	for t, certain := range due {
		if _, gap := t.known(); certain || gap {
			list = append(list, t)
		}
	}
	return list
}

// healAll heals these rooms. One limit covers them all, for a Redis that hangs would cost it again for each. away says whether the
// last time failed, and so does the result: the log hears of changes only.
func (r *Roster) healAll(ctx context.Context, rooms []*table, away bool) bool {
	if len(rooms) == 0 {
		return away
	}
	limited, cancel := context.WithTimeout(ctx, max(r.healEvery, healLimit))
	defer cancel()
	var group errgroup.Group
	group.SetLimit(healAtOnce)
	for _, t := range rooms {
		group.Go(func() error {
			err := r.heal(limited, t)
			if err != nil {
				t.doubt()
			}
			return err
		})
	}
	err := group.Wait()
	switch {
	case ctx.Err() != nil:
	case err != nil && !away:
		r.log.Warn("rooms cannot be compared with Redis; going on with what is known", "err", err)
	case err == nil && away:
		r.log.Info("rooms can be compared with Redis again")
	}
	return err != nil
}

// heal compares t with Redis. One goroutine at a time: load before t is ready, then Run.
func (r *Roster) heal(ctx context.Context, t *table) error {
	asked, _ := t.known()
	snap, err := r.store.Room(ctx, t.name)
	if err != nil {
		r.failed.Add(1)
		return fmt.Errorf("room %s: %w", t.name, err)
	}
	if snap.Skipped != t.skipped {
		t.skipped = snap.Skipped
		r.log.Warn("records in Redis cannot be understood; another program or version wrote them", "room", t.name.String(), "count", snap.Skipped)
	}
	r.heals.Add(1)
	t.merge(snap, asked, 2*r.healEvery)
	return nil
}
