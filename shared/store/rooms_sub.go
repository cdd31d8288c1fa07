package store

import (
	"context"
	"strconv"

	"weever/shared/room"
)

// This file is used by subscriber sessions: each writes its record when it begins and removes it when it ends.

// AddSubscriber writes the record of s, kept by its session, and returns the session's incarnation: s.Inc, or a new one when that is
// 0. Called again with the incarnation, it restores a record that Redis has lost.
func (s *Store) AddSubscriber(ctx context.Context, rm room.Name, sub room.Subscriber) (int64, error) {
	if err := checkSession(sub.FullID, sub.Session, sub.Owner, max(sub.Inc, 1)); err != nil {
		return 0, err
	}
	body, err := encode(sub)
	if err != nil {
		return 0, err
	}
	keys := []string{s.key(rm, "subs"), s.key(rm, "inc")}
	inc, err := addSubScript.Run(ctx, s.rdb, keys, sub.Session, strconv.FormatInt(max(sub.Inc, 0), 10), body).Int64()
	if err != nil {
		return 0, unavailable("add subscriber", err)
	}
	s.index(ctx, rm)
	return inc, nil
}

// RemoveSubscriber removes the session's record; removing one that is not there is no error.
func (s *Store) RemoveSubscriber(ctx context.Context, rm room.Name, session string) error {
	if err := s.rdb.HDel(ctx, s.key(rm, "subs"), session).Err(); err != nil {
		return unavailable("remove subscriber", err)
	}
	s.unindex(ctx, rm)
	return nil
}

// Subscribers lists the room's subscribers, oldest first, then by full id. Records that cannot be understood are skipped and logged.
func (s *Store) Subscribers(ctx context.Context, rm room.Name) ([]room.Subscriber, error) {
	hash, err := s.rdb.HGetAll(ctx, s.key(rm, "subs")).Result()
	if err != nil {
		return nil, unavailable("list subscribers", err)
	}
	list, skipped := subscribers(hash)
	s.logSkipped(rm, "subscribers", skipped)
	return list, nil
}

// CountSubscribers is the number of the room's subscribers, records that cannot be understood included.
func (s *Store) CountSubscribers(ctx context.Context, rm room.Name) (int, error) {
	n, err := s.rdb.HLen(ctx, s.key(rm, "subs")).Result()
	if err != nil {
		return 0, unavailable("count subscribers", err)
	}
	return int(n), nil
}
