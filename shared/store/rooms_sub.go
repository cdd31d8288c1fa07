package store

import (
	"context"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"

	"weever/shared/redisdb"
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
	if err := s.enter(ctx, rm, sub.Owner, sub.Session); err != nil {
		return 0, err
	}
	keys := []string{s.key(rm, "subs"), s.db.IncKey(rm.String())}
	inc, err := addSubScript.Run(ctx, s.db.Client(), keys, sub.Session, strconv.FormatInt(max(sub.Inc, 0), 10), body).Int64()
	if err != nil {
		return 0, redisdb.Unavailable("add subscriber", err)
	}
	s.index(ctx, rm, sub.Owner, sub.Session)
	return inc, nil
}

// RemoveSubscriber removes the session's record; removing one that is not there is no error.
func (s *Store) RemoveSubscriber(ctx context.Context, rm room.Name, session string) error {
	var get *redis.StringCmd
	var del *redis.IntCmd
	_, _ = s.db.Client().TxPipelined(ctx, func(tx redis.Pipeliner) error {
		get, del = tx.HGet(ctx, s.key(rm, "subs"), session), tx.HDel(ctx, s.key(rm, "subs"), session)
		return nil
	})
	if err := errors.Join(notNil(get.Err()), del.Err()); err != nil {
		return redisdb.Unavailable("remove subscriber", err)
	}
	if sub, err := decodeSubscriber(session, get.Val()); err == nil {
		s.exit(ctx, rm, sub.Owner, session, func(ctx context.Context) (bool, error) {
			return s.db.Client().HExists(ctx, s.key(rm, "subs"), session).Result()
		})
	}
	s.unindex(ctx, rm)
	return nil
}

// Subscribers lists the room's subscribers, oldest first, then by full id. Records that cannot be understood are skipped and logged.
func (s *Store) Subscribers(ctx context.Context, rm room.Name) ([]room.Subscriber, error) {
	hash, err := s.db.Client().HGetAll(ctx, s.key(rm, "subs")).Result()
	if err != nil {
		return nil, redisdb.Unavailable("list subscribers", err)
	}
	list, skipped := subscribers(hash)
	s.logSkipped(rm, "subscribers", skipped)
	return list, nil
}

// CountSubscribers is the number of the room's subscribers, records that cannot be understood included.
func (s *Store) CountSubscribers(ctx context.Context, rm room.Name) (int, error) {
	n, err := s.db.Client().HLen(ctx, s.key(rm, "subs")).Result()
	if err != nil {
		return 0, redisdb.Unavailable("count subscribers", err)
	}
	return int(n), nil
}
