package publisher

import (
	"context"
	"errors"
	"time"

	"weever/mediad/internal/session/life"
	"weever/shared/apierr"
	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/store"
)

// This file is what a publisher's run tells Redis and the room. Each call is bounded; what Redis does not take now is written again
// later, or becomes a debt when the session is over.

// claim writes the record and tells the room. It is false when a later POST has the place, or Redis could not be told in time;
// then it may have been told all the same, and the record has to go.
func (p *Publisher) claim() bool {
	p.joined = time.Now().UTC()
	ctx, cancel := context.WithTimeout(p.Ctx, life.ConnectTimeout)
	defer cancel()
	var res store.LiveResult
	for {
		var err error
		res, err = p.cfg.Store.GoLive(ctx, p.ID.Room, p.entry(room.Live))
		if err == nil {
			break
		}
		if apierr.From(err).Code == apierr.Unavailable && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(retryPeriod):
				continue
			}
		}
		p.log.Warn("publisher not admitted", "err", err)
		p.cfg.Owe(p.repay)
		p.End(err)
		return false
	}
	p.joined = res.Publisher.JoinedAt // of the one it replaced, if any: the same person goes on
	for _, c := range res.Left {
		p.tell(events.Left, c)
	}
	p.tell(events.Up, res.Change)
	p.log.Info("publisher live")
	return true
}

// entry is the record of this session.
func (p *Publisher) entry(state room.State) room.Publisher {
	return room.Publisher{
		FullID: p.ID.Full, Session: p.ID.Session, Owner: p.cfg.Owner, Inc: p.ID.Inc,
		State: state, JoinedAt: p.joined, Tracks: p.media.Tracks(),
	}
}

// record writes a state and tells the room; what cannot be written now is written later. Those who watch at this node do not wait for
// Redis to hear of the tracks. It is false when the record is gone.
func (p *Publisher) record(state room.State) bool {
	e := p.entry(state)
	p.room.Amend(e)
	ctx, cancel := context.WithTimeout(p.Ctx, life.StoreTimeout)
	defer cancel()
	change, err := p.cfg.Store.UpdatePublisher(ctx, p.ID.Room, e)
	p.saved(err)
	if err == nil {
		p.tell(events.Up, change)
	}
	return !errors.Is(err, store.ErrGone)
}

// restore writes the record of this session, which Redis has lost or another node removed in error. It is false when a later POST
// has the place.
func (p *Publisher) restore() bool {
	e := p.entry(p.state())
	ctx, cancel := context.WithTimeout(p.Ctx, life.StoreTimeout)
	defer cancel()
	change, err := p.cfg.Store.RestorePublisher(ctx, p.ID.Room, e)
	p.saved(err)
	if err == nil {
		p.tell(events.Up, change)
	}
	return !errors.Is(err, store.ErrGone)
}

// saved notes whether Redis knows the present state, and has it tried again if not. A record that is gone is for compare to judge.
func (p *Publisher) saved(err error) {
	p.unsaved = err != nil && !errors.Is(err, store.ErrGone)
	if p.unsaved {
		p.log.Warn("publisher's state not stored; it will be", "err", err)
		time.AfterFunc(retryPeriod, p.Again)
	}
}

// remove takes the record away and tells the room; the session's own context may have ended already.
func (p *Publisher) remove() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.Ctx), life.StoreTimeout)
	defer cancel()
	change, err := p.cfg.Store.RemovePublisher(ctx, p.ID.Room, p.ID.Full, p.ID.Inc)
	switch {
	case errors.Is(err, store.ErrGone):
		p.cfg.Owe(p.repay) // Redis may have lost the record, or not all of its writing was done
	case err != nil:
		p.log.Warn("publisher's record not removed; it will be", "err", err)
		p.cfg.Owe(p.repay)
	default:
		p.tell(events.Left, change)
	}
}

// repay is the debt of a session that is over: it removes the record and tells the room, which has to be opened anew.
func (p *Publisher) repay(ctx context.Context) error {
	change, err := p.cfg.Store.RemovePublisher(ctx, p.ID.Room, p.ID.Full, p.ID.Inc)
	if errors.Is(err, store.ErrGone) { // written half-way, perhaps
		return p.cfg.Store.Unnote(ctx, p.ID.Room, p.cfg.Owner, p.ID.Session)
	}
	if err != nil {
		return err
	}
	rm, err := p.cfg.Roster.Open(ctx, p.ID.Room)
	if err != nil {
		return nil //nolint:nilerr // the record is gone; the nodes will find that out for themselves
	}
	defer rm.Close()
	return rm.Tell(events.Left, change)
}

// tell makes a change known; what the bus does not carry the other nodes will read from Redis.
func (p *Publisher) tell(kind events.Kind, c store.Change) {
	if err := p.room.Tell(kind, c); err != nil {
		p.log.Warn("room event not sent", "err", err)
	}
}
