// Package presence tells Redis that a subscriber is there, and no more.
//
// A viewer makes a Record with its session and owns it.
package presence

import (
	"context"
	"log/slog"
	"time"

	"weever/mediad/internal/session/life"
	"weever/shared/room"
	"weever/shared/store"
)

// Config is what a Record works with; all of it is required.
type Config struct {
	Store *store.Store
	Owner room.Owner
	Owe   func(life.Debt) // takes the removal that Redis could not be told of; it must not block
	Log   *slog.Logger
}

// Record is the record of one subscriber. Its methods are for one goroutine at a time.
type Record struct {
	cfg    Config
	id     life.Identity // Inc is that of Enter, 0 before
	joined time.Time
}

// New makes a Record that is not written yet.
func New(cfg Config, id life.Identity) *Record { return &Record{cfg: cfg, id: id} }

// Enter writes the record and has the token checked again: the last steps before the session may run. It gives the incarnation.
// After an error there may be a record, for Remove.
func (r *Record) Enter(ctx context.Context, allowed func(context.Context) error) (inc int64, err error) {
	r.joined = time.Now().UTC()
	if r.id.Inc, err = r.write(ctx); err != nil {
		return 0, err
	}
	return r.id.Inc, allowed(ctx)
}

// Refresh puts right what an emptied Redis has lost. The incarnation stays: others know the session by it.
func (r *Record) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, life.StoreTimeout)
	defer cancel()
	if _, err := r.write(ctx); err != nil {
		r.cfg.Log.Debug("subscriber's record not refreshed", "err", err)
	}
}

// Remove removes the record, now or later, also when ctx has ended already.
func (r *Record) Remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), life.StoreTimeout)
	defer cancel()
	remove := func(ctx context.Context) error {
		if err := r.cfg.Store.RemoveSubscriber(ctx, r.id.Room, r.id.Session); err != nil {
			return err
		}
		return r.cfg.Store.Unnote(ctx, r.id.Room, r.cfg.Owner, r.id.Session)
	}
	if err := remove(ctx); err != nil {
		r.cfg.Log.Warn("subscriber's record not removed; it will be", "err", err)
		r.cfg.Owe(remove)
	}
}

// write writes the record, anew or again, and returns its incarnation.
func (r *Record) write(ctx context.Context) (int64, error) {
	return r.cfg.Store.AddSubscriber(ctx, r.id.Room, room.Subscriber{
		FullID: r.id.Full, Session: r.id.Session, Owner: r.cfg.Owner, Inc: r.id.Inc, JoinedAt: r.joined,
	})
}
