package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/redisdb"
	"weever/shared/room"
)

// This file is used by all that writes or removes a record, and by who cleans up after a process that died: it finds the rooms without
// reading every room there is.
//
// Each instance has a set of "<room> <session>", in a slot of its own. An entry is there before its record is written and goes after the
// record has gone, so a crash leaves at worst an entry without a record, which harms nobody. As each session has an entry of its
// own, sessions of one room that begin and end at the same time cannot disturb each other.

const forgottenAfter = 24 * time.Hour

func (s *Store) instanceKey(instance string) string { return s.db.Key("node", instance, "sessions") }

func entry(rm room.Name, session string) string { return rm.String() + " " + session }

// RoomsOf lists the rooms, by name, in which the process has records; some of them may have none of its records any more.
func (s *Store) RoomsOf(ctx context.Context, instance string) ([]room.Name, error) {
	entries, err := s.db.Client().SMembers(ctx, s.instanceKey(instance)).Result()
	if err != nil {
		return nil, redisdb.Unavailable("list rooms of a node", err)
	}
	rooms := map[string]room.Name{}
	for _, e := range entries {
		name, _, _ := strings.Cut(e, " ")
		if rm, err := room.ParseName(name); err == nil {
			rooms[name] = rm
		}
	}
	names := slices.Sorted(maps.Keys(rooms))
	list := make([]room.Name, len(names))
	for i, name := range names {
		list[i] = rooms[name]
	}
	return list, nil
}

// Forget lets go of what RoomsOf still knows of a process whose records are all removed: a day from now, unless the process turns out to
// live and writes another record.
func (s *Store) Forget(ctx context.Context, instance string) error {
	if err := s.db.Client().Expire(ctx, s.instanceKey(instance), forgottenAfter).Err(); err != nil {
		return redisdb.Unavailable("forget a node", err)
	}
	return nil
}

// Unnote takes back the note of a session that is over, whether or not it ever had a record: its writing may have failed half-way. Only
// the session's own node calls it, for nobody else knows that the record is not about to be written.
func (s *Store) Unnote(ctx context.Context, rm room.Name, owner room.Owner, session string) error {
	if err := s.db.Client().SRem(ctx, s.instanceKey(owner.Instance), entry(rm, session)).Err(); err != nil {
		return redisdb.Unavailable("take back the note of a session", err)
	}
	return nil
}

// enter notes a record that is about to be written; it must not be written when this fails.
func (s *Store) enter(ctx context.Context, rm room.Name, owner room.Owner, session string) error {
	_, err := s.db.Client().Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.SAdd(ctx, s.instanceKey(owner.Instance), entry(rm, session))
		pipe.Persist(ctx, s.instanceKey(owner.Instance))
		return nil
	})
	if err != nil {
		return redisdb.Unavailable("note session", err)
	}
	return nil
}

// exit takes back the note of a record that was removed. When others removed it in error its session may be writing it again: so exit
// looks once more and, if in doubt, notes it. (What the session writes after that look, it notes itself: see index.)
func (s *Store) exit(ctx context.Context, rm room.Name, owner room.Owner, session string, back func(context.Context) (bool, error)) {
	if owner.Instance == "" {
		return // a record that could not be read
	}
	ctx = context.WithoutCancel(ctx)
	err := s.db.Client().SRem(ctx, s.instanceKey(owner.Instance), entry(rm, session)).Err()
	if err == nil {
		var there bool
		if there, err = back(ctx); err != nil || there {
			err = s.enter(ctx, rm, owner, session)
		}
	}
	if err != nil {
		s.log.Warn("a session that ended is still noted for its node", "room", rm.String(), "err", err)
	}
}
