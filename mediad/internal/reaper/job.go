package reaper

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/shared/events"
	"weever/shared/lease"
	"weever/shared/room"
	"weever/shared/store"
)

// This file removes what a dead process left: its subscribers at once; its publishers are announced as away and, when the resume window
// has passed and they have not come back, as left. Each change is a compare-and-swap on an incarnation, of which there is one owner:
// whoever came back, on any node, has another one.

const (
	maxRooms       = 256 // rooms looked at in one turn
	maxSubscribers = 512 // removed from one room in one turn
	roomsAtOnce    = 8
)

// job is the cleaning up after one process. Run of the Reaper owns it.
type job struct {
	r     *Reaper
	lease lease.Lease
	began time.Time
	rooms map[room.Name]*remains
	again bool // look once more for rooms that are not in the list
}

// remains is what is left in a room.
type remains struct {
	due  time.Time       // when to look again
	away map[int64]since // publishers by incarnation
	done bool            // nothing is left
}

// since is when a publisher was found to be away.
type since = time.Time

func newJob(r *Reaper, l lease.Lease) *job {
	return &job{r: r, lease: l, began: time.Now(), rooms: map[room.Name]*remains{}, again: true}
}

// work does one turn. over means that the job is done, or not ours any more; an error is that of Redis, and it will be tried again.
func (j *job) work(ctx context.Context) (over bool, err error) {
	if mine, err := j.claim(ctx); err != nil || !mine {
		return err == nil, err
	}
	if j.again {
		if err := j.find(ctx); err != nil {
			return false, err
		}
	}
	now := time.Now()
	due, waiting := j.due(now)
	if len(due) > 0 {
		return j.sweepAll(ctx, due)
	}
	if waiting {
		return false, nil
	}
	if !j.again { // some rooms have been cleaned since the list was read
		j.again = true
		return false, nil
	}
	return j.finish(ctx)
}

// find reads the list of rooms. What is new in it is due.
func (j *job) find(ctx context.Context) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	names, err := j.r.cfg.Store.RoomsOf(ctx, j.lease.Instance)
	if err != nil {
		return err
	}
	for _, rm := range names {
		if j.rooms[rm] == nil {
			j.rooms[rm] = &remains{away: map[int64]since{}}
		}
	}
	return nil
}

// due lists the rooms to look at in this turn; waiting says that others have their time to come.
func (j *job) due(now time.Time) (due []room.Name, waiting bool) {
	for rm, left := range j.rooms {
		switch {
		case left.done:
		case left.due.After(now):
			waiting = true
		default:
			due = append(due, rm)
		}
	}
	slices.SortFunc(due, func(a, b room.Name) int { return j.rooms[a].due.Compare(j.rooms[b].due) })
	return due[:min(len(due), maxRooms)], waiting
}

// sweepAll looks at these rooms, as work does.
func (j *job) sweepAll(ctx context.Context, due []room.Name) (over bool, err error) {
	j.again = false
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(roomsAtOnce)
	for _, rm := range due {
		left := j.rooms[rm]
		group.Go(func() error {
			if mine, err := j.claim(gctx); err != nil || !mine {
				return errors.Join(err, errNotOurs)
			}
			return j.sweep(gctx, rm, left)
		})
	}
	err = group.Wait()
	if errors.Is(err, errNotOurs) {
		return j.claimLost(ctx)
	}
	return false, err
}

// errNotOurs: the claim was lost, or could not be prolonged.
var errNotOurs = errors.New("not ours")

// claimLost says whether the job is over, after a claim in the middle of a turn failed.
func (j *job) claimLost(ctx context.Context) (over bool, err error) {
	mine, err := j.claim(ctx)
	return err == nil && !mine, err
}

// claim prolongs the claim. When it is not granted the process has come back, or another cleans up.
func (j *job) claim(ctx context.Context) (bool, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	return j.r.cfg.Leases.Claim(ctx, j.lease.Instance, j.lease.Epoch, j.r.cfg.Self, j.r.time.Claim)
}

// sweep looks at one room.
func (j *job) sweep(ctx context.Context, rm room.Name, left *remains) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	if err := j.publishers(ctx, rm, left); err != nil {
		return err
	}
	return j.subscribers(ctx, rm, left)
}

// publishers announces those of the room as away, or as left when their time has come, and sets when to look again.
func (j *job) publishers(ctx context.Context, rm room.Name, left *remains) error {
	list, err := j.r.cfg.Store.Publishers(ctx, rm)
	if err != nil {
		return err
	}
	now, there, gone := time.Now(), map[int64]since{}, false
	for _, p := range list {
		if p.Owner.Instance != j.lease.Instance {
			continue
		}
		at, known := left.away[p.Inc]
		switch {
		case p.State != room.Away:
			at, err = now, j.tell(rm, events.Up)(j.r.cfg.Store.MarkAway(ctx, rm, p.FullID, p.Inc))
		case !known:
			at = now
		case now.Sub(at) >= j.r.cfg.ResumeWindow:
			err = j.tell(rm, events.Left)(j.r.cfg.Store.RemoveAway(ctx, rm, p.FullID, p.Inc))
			if err == nil {
				continue
			}
		}
		if errors.Is(err, store.ErrGone) { // another was quicker: what it did shows at the next look
			gone = true
			continue
		}
		if err != nil {
			return err
		}
		there[p.Inc] = at
	}
	left.away, left.done, left.due = there, len(there) == 0 && !gone, time.Time{}
	if len(there) > 0 && !gone {
		left.due = slices.MinFunc(slices.Collect(maps.Values(there)), time.Time.Compare).Add(j.r.cfg.ResumeWindow)
	}
	return nil
}

// tell makes a change known to all nodes, this one included.
func (j *job) tell(rm room.Name, kind events.Kind) func(store.Change, error) error {
	return func(c store.Change, err error) error {
		if err != nil || c.Seq == 0 { // 0: somebody else has done it, and told
			return err
		}
		if err := j.r.cfg.Bus.Publish(rm, events.Event{Prev: c.Prev, Seq: c.Seq, Kind: kind, Publisher: c.Publisher}); err != nil {
			j.r.cfg.Log.Warn("room event not sent; the nodes will find it in Redis", "room", rm.String(), "err", err)
		}
		return nil
	}
}

// subscribers removes those of the room.
func (j *job) subscribers(ctx context.Context, rm room.Name, left *remains) error {
	list, err := j.r.cfg.Store.Subscribers(ctx, rm)
	if err != nil {
		return err
	}
	removed := 0
	for _, s := range list {
		if s.Owner.Instance != j.lease.Instance {
			continue
		}
		if removed == maxSubscribers {
			left.done, left.due = false, time.Time{} // the others in the next turn
			return nil
		}
		if err := j.r.cfg.Store.RemoveSubscriber(ctx, rm, s.Session); err != nil {
			return err
		}
		removed++
	}
	return nil
}

// finish ends the job: nothing is left in any room.
func (j *job) finish(ctx context.Context) (over bool, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	mine, err := j.r.cfg.Leases.Done(ctx, j.lease.Instance, j.lease.Epoch, j.r.cfg.Self)
	if err != nil || !mine {
		return err == nil, err
	}
	j.r.reaped.Add(1)
	j.r.cfg.Log.Info("cleaned up after a dead node", "dead", name(j.lease), "rooms", len(j.rooms), "took", time.Since(j.began).Round(time.Millisecond))
	return true, j.r.cfg.Store.Forget(ctx, j.lease.Instance)
}
