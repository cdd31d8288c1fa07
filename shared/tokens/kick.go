package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/redisdb"
	"weever/shared/room"
)

// This file is used by the control API, which kicks, and by each media node, whose main runs WatchKicks until it stops.

const (
	kickKept   = time.Hour                     // how long records stay in the stream: a node cut off for longer has lost its leases anyway
	deniedKept = 30*24*time.Hour + time.Minute // how long KickedAt remembers; the longest life of a token, and what clocks may differ by
	kickBlock  = 500 * time.Millisecond
	kickMargin = 10 * time.Second // how far before the newest record a new watcher begins
	kickBatch  = 256              // records read at once
)

// kickScript revokes the token and draws the line between the sessions from before and those from after.
// KEYS: token, incarnation counter, memory of the kick. ARGV: seconds to remember.
var kickScript = redis.NewScript(redisdb.CounterLua + `
redis.call('DEL', KEYS[1])
local inc = incarnation(KEYS[2])
redis.call('SET', KEYS[3], inc, 'EX', ARGV[1])
return inc
`)

// KickRecord says that a person was kicked: sessions of ID in Room and Role, of all its full ids and its screen share, whose
// incarnation is below Inc must be closed. Those at or above it were let in after the kick and stay, so acting on one record
// twice does no harm.
type KickRecord struct {
	Room room.Name
	Role room.Role
	ID   room.ID
	Inc  int64
}

func (t *Tokens) kicksKey() string { return t.db.Key("kicks") }

func (t *Tokens) kickedKey(rm room.Name, role room.Role, id room.ID) string {
	return t.db.GroupKey(rm.String(), "kicked", string(role), id.String())
}

// Kick revokes the person's token and writes the record that makes every node close the person's sessions. It returns when
// both are written; nodes act on their own. It is right to repeat a Kick that failed: the token may be gone already, the record
// is not there. Kicking somebody who is not there is no error.
func (t *Tokens) Kick(ctx context.Context, rm room.Name, role room.Role, id room.ID) error {
	keys := []string{t.tokenKey(rm, role, id), t.db.IncKey(rm.String()), t.kickedKey(rm, role, id)}
	inc, err := kickScript.Run(ctx, t.db.Client(), keys, int(deniedKept/time.Second)).Int64()
	if err != nil {
		return redisdb.Unavailable("kick", err)
	}
	// The stream lies in another slot than the room, hence the second step. The incarnation is Redis' clock: better than ours.
	oldest := time.UnixMicro(inc).Add(-kickKept).UnixMilli()
	err = t.db.Client().XAdd(ctx, &redis.XAddArgs{
		Stream: t.kicksKey(),
		MinID:  strconv.FormatInt(oldest, 10),
		Approx: true,
		Values: []string{"room", rm.String(), "role", string(role), "id", id.String(), "inc", strconv.FormatInt(inc, 10)},
	}).Err()
	if err != nil {
		return redisdb.Unavailable("record kick", err)
	}
	return nil
}

// KickedAt is when the person was last kicked, by the clock of Redis; the zero time when that was never or more than 30 days ago.
// It is for tokens that nobody stored and nobody can delete: a JWT issued before that time is denied.
func (t *Tokens) KickedAt(ctx context.Context, rm room.Name, role room.Role, id room.ID) (time.Time, error) {
	inc, err := t.db.Client().Get(ctx, t.kickedKey(rm, role, id)).Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, redisdb.Unavailable("look up kick", err)
	}
	return time.UnixMicro(inc), nil
}

// WatchKicks calls fn for each kick, in their order and one at a time, until ctx ends; it returns ctx.Err() within a second of that.
// It survives everything Redis does: after an error it goes on from the last record seen, so nothing is missed while Redis is
// away for less than an hour.
//
// A record may come twice: the first read begins some seconds before the newest record, so that a kick between a node's
// first session and its first read is not lost, and a Redis that lost data is read from its beginning. fn must not wait long:
// the next kick waits for it.
func (t *Tokens) WatchKicks(ctx context.Context, fn func(KickRecord)) error {
	w := kickWatcher{t: t, fn: fn}
	for away := false; ; {
		err := w.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if !away {
				t.log.Warn("kicks cannot be read; trying again until Redis answers", "err", err)
			}
			away = true
			w.pause = min(max(2*w.pause, 50*time.Millisecond), time.Second)
			sleep(ctx, w.pause)
		case away:
			t.log.Info("kicks can be read again")
			away, w.pause = false, 0
		}
	}
}

// kickWatcher is the state of one WatchKicks; its goroutine owns it.
type kickWatcher struct {
	t     *Tokens
	fn    func(KickRecord)
	last  string // id of the last record seen; "" before first contact
	pause time.Duration
}

// read waits for records and hands them over; a nil error means that Redis answered.
func (w *kickWatcher) read(ctx context.Context) error {
	// Beyond the block time an answer is overdue: a Redis that hangs must count as away, not as silent.
	ctx, cancel := context.WithTimeout(ctx, kickBlock+redisdb.AnswerTime)
	defer cancel()
	if w.last == "" {
		return w.settle(ctx)
	}
	streams, err := w.t.db.Client().XRead(ctx, &redis.XReadArgs{
		Streams: []string{w.t.kicksKey(), w.last}, Count: kickBatch, Block: kickBlock,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return w.settle(ctx) // quiet: time to see whether the stream is still the one we read
	}
	if err != nil {
		return err
	}
	for _, stream := range streams {
		for _, m := range stream.Messages {
			w.last = m.ID
			rec, err := parseKick(m.Values)
			if err != nil {
				w.t.log.Error("kick record skipped", "record", m.ID, "err", err)
				continue
			}
			w.fn(rec)
		}
	}
	return nil
}

// settle compares our place with the newest record. At first contact it chooses the place; when the newest record is older than
// what we have seen, Redis lost data and ids may repeat, so it starts over.
func (w *kickWatcher) settle(ctx context.Context) error {
	newest, err := w.t.db.Client().XRevRangeN(ctx, w.t.kicksKey(), "+", "-", 1).Result()
	if err != nil {
		return err
	}
	ms, seq := int64(0), int64(0)
	if len(newest) == 1 {
		ms, seq = streamID(newest[0].ID)
	}
	if w.last == "" {
		w.last = fmt.Sprintf("%d-0", max(0, ms-kickMargin.Milliseconds()))
		return nil
	}
	lastMS, lastSeq := streamID(w.last)
	if cmp.Or(cmp.Compare(ms, lastMS), cmp.Compare(seq, lastSeq)) < 0 {
		w.last = "0-0"
	}
	return nil
}

// streamID takes "<milliseconds>-<sequence>" apart; it comes from Redis, so what is not a number counts as 0.
func streamID(id string) (ms, seq int64) {
	a, b, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseInt(a, 10, 64)
	seq, _ = strconv.ParseInt(b, 10, 64)
	return ms, seq
}

// parseKick checks a record as if a stranger had written it: another version may have.
func parseKick(fields map[string]any) (rec KickRecord, err error) {
	text := func(name string) string {
		s, _ := fields[name].(string)
		return s
	}
	if rec.Room, err = room.ParseName(text("room")); err != nil {
		return KickRecord{}, err
	}
	if rec.ID, err = room.ParseID(text("id")); err != nil {
		return KickRecord{}, err
	}
	rec.Role = room.Role(text("role"))
	if rec.Role != room.Pub && rec.Role != room.Sub {
		return KickRecord{}, errors.New("role is neither pub nor sub")
	}
	if rec.Inc, err = strconv.ParseInt(text("inc"), 10, 64); err != nil || rec.Inc <= 0 {
		return KickRecord{}, errors.New("inc is not a positive number")
	}
	return rec, nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
