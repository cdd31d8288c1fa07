package store

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"weever/shared/redisdb"
	"weever/shared/room"
)

// This file is used by media nodes, which watch rooms, and by the control API, which lists them.
//
// A room is a hash of publishers by full id, a hash of subscribers by session, and two counters: incarnations order POSTs, the
// event counter orders what everybody must hear of. No record has a time to live: who made it removes it, and when that node has
// died a survivor does. The index of rooms lies in another slot, so it follows the hashes by a moment.

const maxPage = 1000 // rooms listed at once

// Snapshot is a room at one moment. Seq is the number of its last change; 0 means that Redis knows nothing of the room: it never
// had a publisher, had none for an hour, or Redis lost its data.
type Snapshot struct {
	Seq        int64
	Publishers []room.Publisher // oldest first, then by full id
	Skipped    int              // records that could not be understood
}

// RoomCount is a line of the list of rooms.
type RoomCount struct {
	Room        room.Name `json:"room"`
	Publishers  int       `json:"publishers"`
	Subscribers int       `json:"subscribers"`
}

// Room reads the publishers of a room and the number of its last change, atomically.
func (s *Store) Room(ctx context.Context, rm room.Name) (Snapshot, error) {
	var seq *redis.StringCmd
	var pubs *redis.MapStringStringCmd
	_, _ = s.db.Client().TxPipelined(ctx, func(tx redis.Pipeliner) error {
		seq = tx.Get(ctx, s.key(rm, "seq"))
		pubs = tx.HGetAll(ctx, s.key(rm, "pubs"))
		return nil
	})
	if err := errors.Join(notNil(seq.Err()), pubs.Err()); err != nil {
		return Snapshot{}, redisdb.Unavailable("read room", err)
	}
	snap := Snapshot{Seq: number(seq.Val())}
	snap.Publishers, snap.Skipped = publishers(pubs.Val())
	return snap, nil
}

// Rooms lists rooms with somebody in them, by name, from the first name above after ("" for all), at most limit of them (1 to
// 1000). next is the value of after for the following page, "" when there is none.
func (s *Store) Rooms(ctx context.Context, after string, limit int) (rooms []RoomCount, next string, err error) {
	limit = min(max(limit, 1), maxPage)
	rooms = []RoomCount{}
	for {
		from := "-"
		if after != "" {
			from = "(" + after
		}
		names, err := s.db.Client().ZRangeByLex(ctx, s.roomsKey(), &redis.ZRangeBy{Min: from, Max: "+", Count: int64(limit)}).Result()
		if err != nil {
			return nil, "", redisdb.Unavailable("list rooms", err)
		}
		counts, err := s.counts(ctx, names)
		if err != nil {
			return nil, "", err
		}
		for i, c := range counts {
			if c.Publishers+c.Subscribers > 0 {
				rooms = append(rooms, c)
			}
			if len(rooms) == limit && i < len(counts)-1 {
				return rooms, names[i], nil
			}
		}
		if len(names) < limit {
			return rooms, "", nil
		}
		after = names[len(names)-1]
		if len(rooms) == limit {
			return rooms, after, nil
		}
	}
}

// counts gives the line of each name, in order; of what is no name, an empty one.
func (s *Store) counts(ctx context.Context, names []string) ([]RoomCount, error) {
	counts := make([]RoomCount, len(names))
	pubs, subs := make([]*redis.IntCmd, len(names)), make([]*redis.IntCmd, len(names))
	_, err := s.db.Client().Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, name := range names {
			rm, err := room.ParseName(name)
			if err != nil {
				continue
			}
			counts[i].Room = rm
			pubs[i], subs[i] = pipe.HLen(ctx, s.key(rm, "pubs")), pipe.HLen(ctx, s.key(rm, "subs"))
		}
		return nil
	})
	if err != nil {
		return nil, redisdb.Unavailable("count rooms", err)
	}
	for i := range counts {
		if pubs[i] != nil {
			counts[i].Publishers, counts[i].Subscribers = int(pubs[i].Val()), int(subs[i].Val())
		}
	}
	return counts, nil
}

// StartEpoch is called once at the start of a node; the number is above that of all its earlier starts, also when Redis was
// emptied in between.
func (s *Store) StartEpoch(ctx context.Context, node string) (int64, error) {
	epoch, err := incScript.Run(ctx, s.db.Client(), []string{s.db.Key("epoch", node)}).Int64()
	if err != nil {
		return 0, redisdb.Unavailable("start epoch", err)
	}
	return epoch, nil
}

func (s *Store) roomsKey() string { return s.db.Key("rooms") }

// index lists the room, and notes the record once more for its owner. It comes after the record was written, so whoever removes
// the room or the note meanwhile either sees the new record or does so before this adds them. The room itself is right without it,
// so a failure is only logged: the next session mends the list, and the note was there before.
func (s *Store) index(ctx context.Context, rm room.Name, owner room.Owner, session string) {
	ctx = context.WithoutCancel(ctx)
	_, err := s.db.Client().Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.ZAdd(ctx, s.roomsKey(), redis.Z{Member: rm.String()})
		pipe.SAdd(ctx, s.instanceKey(owner.Instance), entry(rm, session))
		return nil
	})
	if err != nil {
		s.log.Warn("room could not be added to the list of rooms", "room", rm.String(), "err", err)
	}
}

// unindex ends the listing of a room that is empty. Somebody may enter between the look and the removal, and may have been listed
// in that moment: so it looks again and takes the removal back. An entry that a failure leaves behind is not shown: Rooms skips
// empty rooms.
func (s *Store) unindex(ctx context.Context, rm room.Name) {
	ctx = context.WithoutCancel(ctx)
	empty, err := s.empty(ctx, rm)
	if err == nil && empty {
		if err = s.db.Client().ZRem(ctx, s.roomsKey(), rm.String()).Err(); err == nil {
			if empty, err = s.empty(ctx, rm); err == nil && !empty {
				err = s.db.Client().ZAdd(ctx, s.roomsKey(), redis.Z{Member: rm.String()}).Err()
			}
		}
	}
	if err != nil {
		s.log.Warn("room could not be taken off the list of rooms", "room", rm.String(), "err", err)
	}
}

func (s *Store) empty(ctx context.Context, rm room.Name) (bool, error) {
	n, err := s.db.Client().Exists(ctx, s.key(rm, "pubs"), s.key(rm, "subs")).Result()
	return n == 0, err
}

func (s *Store) logSkipped(rm room.Name, what string, n int) {
	if n > 0 {
		s.log.Warn("records in Redis cannot be understood; another program or version wrote them", "room", rm.String(), "kind", what, "count", n)
	}
}

// notNil drops the library's word for "no such key".
func notNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
