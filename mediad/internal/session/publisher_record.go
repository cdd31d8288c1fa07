package session

import (
	"context"
	"errors"
	"time"

	"weever/shared/apierr"
	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/store"
)

// This file is what a publisher's run tells Redis and the room. Each call is bounded; what Redis does not take now is written again
// later, or becomes a debt of the Service when the session is over.

// claim writes the record and tells the room. It is false when a later POST has the place, or Redis could not be told in time;
// then it may have been told all the same, and the record has to go.
func (p *publisher) claim() bool {
	p.joined = time.Now().UTC()
	ctx, cancel := context.WithTimeout(p.ctx, connectTimeout)
	defer cancel()
	var res store.LiveResult
	for {
		var err error
		res, err = p.svc.cfg.Store.GoLive(ctx, p.id.room, p.entry(room.Live))
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
		p.svc.owe(func(ctx context.Context) error { return p.svc.removePublisher(ctx, p.id) })
		p.cancel(err)
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
func (p *publisher) entry(state room.State) room.Publisher {
	return room.Publisher{
		FullID: p.id.full, Session: p.id.session, Owner: p.svc.cfg.Owner, Inc: p.id.inc,
		State: state, JoinedAt: p.joined, Tracks: p.media.tracks(),
	}
}

// record writes a state and tells the room; what cannot be written now is written later.
func (p *publisher) record(state room.State) {
	e := p.entry(state)
	ctx, cancel := context.WithTimeout(p.ctx, opTimeout)
	defer cancel()
	change, err := p.svc.cfg.Store.UpdatePublisher(ctx, p.id.room, e)
	p.saved(err)
	if err == nil {
		p.tell(events.Up, change)
	}
}

// restore writes the record of this session, which Redis has lost or another node removed in error. It is false when a later POST
// has the place.
func (p *publisher) restore() bool {
	e := p.entry(p.state())
	ctx, cancel := context.WithTimeout(p.ctx, opTimeout)
	defer cancel()
	change, err := p.svc.cfg.Store.RestorePublisher(ctx, p.id.room, e)
	p.saved(err)
	if err == nil {
		p.tell(events.Up, change)
	}
	return !errors.Is(err, store.ErrGone)
}

// saved notes whether Redis knows the present state, and has it tried again if not. A record that is gone is for compare to judge.
func (p *publisher) saved(err error) {
	p.unsaved = err != nil && !errors.Is(err, store.ErrGone)
	if p.unsaved {
		p.log.Warn("publisher's state not stored; it will be", "err", err)
		time.AfterFunc(retryPeriod, p.again)
	}
}

// remove takes the record away and tells the room; the session's own context may have ended already.
func (p *publisher) remove() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), opTimeout)
	defer cancel()
	change, err := p.svc.cfg.Store.RemovePublisher(ctx, p.id.room, p.id.full, p.id.inc)
	switch {
	case errors.Is(err, store.ErrGone):
	case err != nil:
		p.log.Warn("publisher's record not removed; it will be", "err", err)
		p.svc.owe(func(ctx context.Context) error { return p.svc.removePublisher(ctx, p.id) })
	default:
		p.tell(events.Left, change)
	}
}

// tell makes a change known; what the bus does not carry the other nodes will read from Redis.
func (p *publisher) tell(kind events.Kind, c store.Change) {
	if err := p.room.Tell(kind, c); err != nil {
		p.log.Warn("room event not sent", "err", err)
	}
}
