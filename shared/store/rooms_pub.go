package store

import (
	"context"
	"errors"
	"strconv"

	"weever/shared/apierr"
	"weever/shared/redisdb"
	"weever/shared/room"
)

// This file is used by the session that owns a publisher and, when its node has died, by the nodes that survive.

// ErrGone means that the record is no longer the one the caller speaks of: removed, or of another incarnation or owner. The
// caller's session has lost its place; nothing was changed.
var ErrGone = errors.New("store: the publisher's record is gone or of another incarnation")

// Change is one step in the history of a room. Prev is the number of the step before it, 0 when Redis remembers none: who has not
// seen Prev has missed something. Numbers are the clock of Redis in microseconds, or the last number plus one when that is
// higher. Seq 0 means that nothing was changed and there is nothing to announce.
type Change struct {
	Prev, Seq int64
	Publisher room.Publisher // as written; when removed, as last known: at least FullID and Inc
}

// LiveResult says what GoLive did. Left comes first in the order of the room's history, then the Change itself.
type LiveResult struct {
	Change
	Replaced *room.Publisher // the earlier incarnation of the same full id, whose session must be told and closed; or nil
	Left     []Change        // away connections of the same person and kind that the new one stands in for
}

// NextInc hands out the number that orders the POSTs of a room: the later POST has the higher one. It is all that a pending
// publisher leaves in Redis.
func (s *Store) NextInc(ctx context.Context, rm room.Name) (int64, error) {
	inc, err := incScript.Run(ctx, s.db.Client(), []string{s.db.IncKey(rm.String())}).Int64()
	if err != nil {
		return 0, redisdb.Unavailable("take incarnation", err)
	}
	return inc, nil
}

// GoLive makes p, whose Inc is from NextInc, the one publisher of its full id; its state becomes live. The replaced record's
// JoinedAt goes on: it is the same person. Every away record with the same label but another full id is removed.
//
// It fails with apierr.Superseded, changing nothing, when a later POST for the full id is or was live. It may be repeated: the
// second call finds its own record and replaces nobody.
func (s *Store) GoLive(ctx context.Context, rm room.Name, p room.Publisher) (LiveResult, error) {
	p.State = room.Live
	body, err := encodePublisher(p)
	if err != nil {
		return LiveResult{}, err
	}
	if err := s.enter(ctx, rm, p.Owner, p.Session); err != nil {
		return LiveResult{}, err
	}
	reply, err := s.script(ctx, "golive", rm, p.FullID, p.Inc, p.JoinedAt.UnixMicro(), p.Owner.Instance, body)
	if err != nil {
		return LiveResult{}, err
	}
	if len(reply) < 4 {
		s.exitPublisher(ctx, rm, p) // as in RestorePublisher
		return LiveResult{}, apierr.New(apierr.Superseded, "a later request has taken this place")
	}
	res := LiveResult{Change: change(reply[0], reply[1], p.FullID.String(), reply[2])}
	if old, err := decodePublisher(p.FullID.String(), reply[3]); err == nil {
		res.Replaced = &old
	}
	for rest := reply[4:]; len(rest) >= 4; rest = rest[4:] {
		if c := change(rest[0], rest[1], rest[2], rest[3]); !c.Publisher.FullID.IsZero() {
			res.Left = append(res.Left, c)
		}
	}
	s.index(ctx, rm, p.Owner, p.Session)
	if res.Replaced != nil {
		s.exitPublisher(ctx, rm, *res.Replaced)
	}
	for _, c := range res.Left {
		s.exitPublisher(ctx, rm, c.Publisher)
	}
	return res, nil
}

// UpdatePublisher writes the state and tracks of a publisher that is the caller's: same full id, incarnation and owner instance.
// Otherwise it fails with ErrGone.
func (s *Store) UpdatePublisher(ctx context.Context, rm room.Name, p room.Publisher) (Change, error) {
	body, err := encodePublisher(p)
	if err != nil {
		return Change{}, err
	}
	return s.swap(ctx, "update", rm, p.FullID, p.Inc, string(p.State), p.Owner.Instance, body)
}

// MarkAway sets the state of that incarnation to away, whoever owns it. Of several callers one gets a Seq: the one to announce
// it. ErrGone: it is not there any more.
func (s *Store) MarkAway(ctx context.Context, rm room.Name, id room.FullID, inc int64) (Change, error) {
	return s.swap(ctx, "away", rm, id, inc)
}

// RemovePublisher removes that incarnation, whoever owns it. ErrGone: it is not there any more, so there is nothing to announce.
func (s *Store) RemovePublisher(ctx context.Context, rm room.Name, id room.FullID, inc int64) (Change, error) {
	return s.remove(ctx, rm, id, inc, "")
}

// RemoveAway is RemovePublisher for one who is away; ErrGone also when it is live again.
func (s *Store) RemoveAway(ctx context.Context, rm room.Name, id room.FullID, inc int64) (Change, error) {
	return s.remove(ctx, rm, id, inc, room.Away)
}

func (s *Store) remove(ctx context.Context, rm room.Name, id room.FullID, inc int64, state room.State) (Change, error) {
	c, err := s.swap(ctx, "remove", rm, id, inc, string(state))
	if err == nil {
		s.exitPublisher(ctx, rm, c.Publisher)
		s.unindex(ctx, rm)
	}
	return c, err
}

// RestorePublisher writes the record of a session that still runs, after Redis has lost it or others removed it in error. A
// record of the same or a lower incarnation is overwritten; ErrGone when a later one is or was there. The caller must not use it
// for a session whose RemovePublisher it has begun.
func (s *Store) RestorePublisher(ctx context.Context, rm room.Name, p room.Publisher) (Change, error) {
	body, err := encodePublisher(p)
	if err != nil {
		return Change{}, err
	}
	if err := s.enter(ctx, rm, p.Owner, p.Session); err != nil {
		return Change{}, err
	}
	c, err := s.swap(ctx, "restore", rm, p.FullID, p.Inc, p.JoinedAt.UnixMicro(), string(p.State), p.Owner.Instance, body)
	switch {
	case err == nil:
		s.index(ctx, rm, p.Owner, p.Session)
	case errors.Is(err, ErrGone):
		s.exitPublisher(ctx, rm, p) // there is no record that would take the note with it
	}
	return c, err
}

// exitPublisher takes back the note of a publisher whose record was removed.
func (s *Store) exitPublisher(ctx context.Context, rm room.Name, p room.Publisher) {
	s.exit(ctx, rm, p.Owner, p.Session, func(ctx context.Context) (bool, error) {
		raw, err := s.db.Client().HGet(ctx, s.key(rm, "pubs"), p.FullID.String()).Result()
		return headerInc(raw) == p.Inc, notNil(err)
	})
}

// Publishers lists the room's publishers, live and away, oldest first, then by full id. Records that cannot be understood are
// skipped and logged.
func (s *Store) Publishers(ctx context.Context, rm room.Name) ([]room.Publisher, error) {
	hash, err := s.db.Client().HGetAll(ctx, s.key(rm, "pubs")).Result()
	if err != nil {
		return nil, redisdb.Unavailable("list publishers", err)
	}
	list, skipped := publishers(hash)
	s.logSkipped(rm, "publishers", skipped)
	return list, nil
}

// swap runs an operation of the room script that changes one record.
func (s *Store) swap(ctx context.Context, op string, rm room.Name, id room.FullID, inc int64, args ...any) (Change, error) {
	reply, err := s.script(ctx, op, rm, id, inc, args...)
	if err != nil {
		return Change{}, err
	}
	if len(reply) < 3 {
		return Change{}, ErrGone
	}
	return change(reply[0], reply[1], id.String(), reply[2]), nil
}

// script runs an operation of the room script; its reply is empty when the record is another's.
func (s *Store) script(ctx context.Context, op string, rm room.Name, id room.FullID, inc int64, args ...any) ([]string, error) {
	keys := []string{s.key(rm, "pubs"), s.key(rm, "seq"), s.key(rm, "gone")}
	argv := append([]any{op, id.String(), strconv.FormatInt(inc, 10)}, args...)
	reply, err := roomScript.Run(ctx, s.db.Client(), keys, argv...).StringSlice()
	if err != nil {
		return nil, redisdb.Unavailable(op+" publisher", err)
	}
	return reply, nil
}

// change is a script's reply. Of a record with a sound header and spoilt JSON only full id and incarnation are known.
func change(prev, seq, field, raw string) Change {
	c := Change{Prev: number(prev), Seq: number(seq)}
	p, err := decodePublisher(field, raw)
	if err != nil {
		p = room.Publisher{Inc: headerInc(raw)}
		p.FullID, _ = room.ParseFullID(field)
	}
	c.Publisher = p
	return c
}
