package viewer

import (
	"context"
	"time"

	"weever/mediad/internal/session/life"
	"weever/shared/room"
)

// This file is what a viewer tells Redis: that it is there, and no more.

// enter writes the subscriber's record and has the token checked again: the last steps before the session may run.
func (v *Viewer) enter(ctx context.Context, allowed func(context.Context) error) error {
	v.joined = time.Now().UTC()
	inc, err := v.writeRecord(ctx)
	if err != nil {
		return err
	}
	v.ID.Inc = inc
	return allowed(ctx)
}

// forgetRecord removes the subscriber's record; the session's own context may have ended already.
func (v *Viewer) forgetRecord() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.Ctx), life.StoreTimeout)
	defer cancel()
	remove := func(ctx context.Context) error { return v.cfg.Store.RemoveSubscriber(ctx, v.ID.Room, v.ID.Session) }
	if err := remove(ctx); err != nil {
		v.log.Warn("subscriber's record not removed; it will be", "err", err)
		v.cfg.Owe(remove)
	}
}

// writeRecord writes the subscriber's record, anew or again, and returns its incarnation.
func (v *Viewer) writeRecord(ctx context.Context) (int64, error) {
	return v.cfg.Store.AddSubscriber(ctx, v.ID.Room, room.Subscriber{
		FullID: v.ID.Full, Session: v.ID.Session, Owner: v.cfg.Owner, Inc: v.ID.Inc, JoinedAt: v.joined,
	})
}

// rewriteRecord puts right what an emptied Redis has lost. The incarnation stays: others read the identity meanwhile.
func (v *Viewer) rewriteRecord() {
	ctx, cancel := context.WithTimeout(v.Ctx, life.StoreTimeout)
	defer cancel()
	if _, err := v.writeRecord(ctx); err != nil {
		v.log.Debug("subscriber's record not refreshed", "err", err)
	}
}
