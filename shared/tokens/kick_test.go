package tokens

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/logtest"
	"weever/shared/redisdb"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
	"weever/shared/testkit/cable"
)

// watch runs WatchKicks until the test ends and gives what it saw.
func watch(t *testing.T, tk *Tokens) <-chan KickRecord {
	t.Helper()
	seen := make(chan KickRecord, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tk.WatchKicks(ctx, func(k KickRecord) { seen <- k }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("WatchKicks returned %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("WatchKicks did not end with its context")
		}
	})
	return seen
}

// next waits for the next record of id, skipping those of others.
func next(t *testing.T, seen <-chan KickRecord, id string) KickRecord {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case k := <-seen:
			if k.ID.String() == id {
				return k
			}
		case <-limit:
			t.Fatalf("no kick of %s came", id)
		}
	}
}

func mustKick(t *testing.T, tk *Tokens, rm, id string) {
	t.Helper()
	if err := tk.Kick(t.Context(), roomtest.Name(t, rm), room.Pub, roomtest.ID(t, id)); err != nil {
		t.Fatal(err)
	}
}

func TestKickRevokesAndTells(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		tk := New(db, nil)
		ctx := t.Context()
		lobby, alice, bob := roomtest.Name(t, "lobby"), roomtest.ID(t, "alice"), roomtest.ID(t, "bob")
		seen := watch(t, tk)
		for _, id := range []room.ID{alice, bob} {
			if _, err := tk.SetToken(ctx, lobby, room.Sub, id, "secret", auth.Grant{}, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		before := time.Now()
		if at, err := tk.KickedAt(ctx, lobby, room.Sub, alice); err != nil || !at.IsZero() {
			t.Fatalf("kicked at %v, %v", at, err)
		}
		if err := tk.Kick(ctx, lobby, room.Sub, alice); err != nil {
			t.Fatal(err)
		}
		redisdbtest.WantCode(t, checkToken(tk, ctx, lobby, room.Sub, alice, "secret"), apierr.BadToken)
		if err := checkToken(tk, ctx, lobby, room.Sub, bob, "secret"); err != nil {
			t.Fatalf("somebody else's token: %v", err)
		}
		k := next(t, seen, "alice")
		if k.Room != lobby || k.Role != room.Sub || k.Inc < before.Add(-time.Minute).UnixMicro() {
			t.Fatalf("got %+v", k)
		}
		at, err := tk.KickedAt(ctx, lobby, room.Sub, alice)
		if err != nil || at.UnixMicro() != k.Inc {
			t.Fatalf("kicked at %v, %v; the record says %d", at, err, k.Inc)
		}
		if at, err := tk.KickedAt(ctx, lobby, room.Sub, bob); err != nil || !at.IsZero() {
			t.Fatalf("bob kicked at %v, %v", at, err)
		}
		// The next kick is newer, and a token set after the kick works.
		if err := tk.Kick(ctx, lobby, room.Sub, alice); err != nil {
			t.Fatal(err)
		}
		if again := next(t, seen, "alice"); again.Inc <= k.Inc {
			t.Fatalf("incarnation went from %d to %d", k.Inc, again.Inc)
		}
		if _, err := tk.SetToken(ctx, lobby, room.Sub, alice, "secret", auth.Grant{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := checkToken(tk, ctx, lobby, room.Sub, alice, "secret"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestIncarnationNeverFallsAndStaysExact(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		tk := New(db, nil)
		ctx := t.Context()
		lobby := roomtest.Name(t, "lobby")
		ahead := time.Now().Add(30 * time.Minute).UnixMicro() // a counter that another Redis' clock had driven
		if err := tk.db.Client().Set(ctx, tk.db.IncKey(lobby.String()), ahead, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		mustKick(t, tk, "lobby", "alice")
		got, err := tk.db.Client().Get(ctx, tk.db.IncKey(lobby.String())).Int64()
		if err != nil || got != ahead+1 {
			t.Fatalf("got %d, %v; want %d", got, err, ahead+1)
		}
		ttl, err := tk.db.Client().TTL(ctx, tk.db.IncKey(lobby.String())).Result()
		if err != nil || ttl < 50*time.Minute || ttl > time.Hour {
			t.Fatalf("the counter lives for %v, %v", ttl, err)
		}
	})
}

func TestKicksInOrderAndNoneLost(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		tk := New(db, nil)
		seen := watch(t, tk)
		const n = 600 // more than one batch
		for i := range n {
			mustKick(t, tk, "lobby", "p"+string(rune('a'+i%26)))
		}
		mustKick(t, tk, "lobby", "last")
		var last int64
		for i := range n + 1 {
			select {
			case k := <-seen:
				if k.Inc <= last {
					t.Fatalf("record %d: %d after %d", i, k.Inc, last)
				}
				last = k.Inc
			case <-time.After(10 * time.Second):
				t.Fatalf("%d of %d records came", i, n+1)
			}
		}
	})
}

func TestWatchBeginsNearTheEnd(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		tk := New(db, nil)
		old := time.Now().Add(-20 * time.Second).UnixMilli()
		err := tk.db.Client().XAdd(t.Context(), &redis.XAddArgs{
			Stream: tk.kicksKey(), ID: formatMS(old), Values: []string{"room", "lobby", "role", "pub", "id", "old", "inc", "1"},
		}).Err()
		if err != nil {
			t.Fatal(err)
		}
		mustKick(t, tk, "lobby", "recent") // before the watcher's first contact: it must learn of it
		seen := watch(t, tk)
		select {
		case k := <-seen:
			if k.ID.String() != "recent" {
				t.Fatalf("got %+v", k)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the recent kick did not come")
		}
	})
}

func TestMalformedRecordsAreSkippedAndLogged(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		tk := New(db, nil)
		var log logtest.Buffer
		tk.log = slog.New(slog.NewTextHandler(&log, nil))
		seen := watch(t, tk)
		mustKick(t, tk, "lobby", "first")
		next(t, seen, "first")
		for _, fields := range [][]string{
			{"x", "y"},
			{"room", "lob*by", "role", "pub", "id", "a", "inc", "1"},
			{"room", "lobby", "role", "spy", "id", "a", "inc", "1"},
			{"room", "lobby", "role", "pub", "id", "a b", "inc", "1"},
			{"room", "lobby", "role", "pub", "id", "a", "inc", "1e9"},
			{"room", "lobby", "role", "pub", "id", "a", "inc", "-1"},
			{"room", "lobby", "role", "pub", "id", "a", "inc", "99999999999999999999"},
		} {
			if err := tk.db.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: tk.kicksKey(), Values: fields}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		mustKick(t, tk, "lobby", "second")
		if k := <-seen; k.ID.String() != "second" {
			t.Fatalf("got %+v", k)
		}
		if got := strings.Count(log.String(), "kick record skipped"); got != 7 {
			t.Errorf("%d of 7 skipped records logged:\n%s", got, log.String())
		}
	})
}

func TestOldRecordsAreTrimmed(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		tk := New(db, nil)
		ctx := t.Context()
		old := time.Now().Add(-2 * time.Hour).UnixMilli()
		for i := range 500 { // approximate trimming removes whole nodes of 100 entries
			err := tk.db.Client().XAdd(ctx, &redis.XAddArgs{Stream: tk.kicksKey(), ID: formatMS(old + int64(i)), Values: []string{"a", "b"}}).Err()
			if err != nil {
				t.Fatal(err)
			}
		}
		mustKick(t, tk, "lobby", "alice")
		if n, err := tk.db.Client().XLen(ctx, tk.kicksKey()).Result(); err != nil || n > 101 {
			t.Fatalf("%d records kept, %v", n, err)
		}
	})
}

func TestNoKickIsMissedWhileTheWatcherIsCutOff(t *testing.T) {
	url := testkit.Redis(t)
	path := cable.New(t, strings.TrimPrefix(url, "redis://"))
	watcher, kicker := openAt(t, "redis://"+path.Addr), openAt(t, url)
	seen := watch(t, watcher)
	mustKick(t, kicker, "lobby", "before")
	next(t, seen, "before")
	path.Cut()
	redisdbtest.WantCode(t, watcher.db.Ping(t.Context()), apierr.Unavailable)
	mustKick(t, kicker, "lobby", "during1")
	mustKick(t, kicker, "lobby", "during2")
	path.Heal()
	for _, want := range []string{"during1", "during2"} {
		select {
		case k := <-seen:
			if k.ID.String() != want {
				t.Fatalf("got %+v, want %s", k, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the kick of %s was missed", want)
		}
	}
}

func TestWatchSurvivesARedisThatLostEverything(t *testing.T) {
	srv := testkit.StartRedis(t)
	var log logtest.Buffer
	tk := openAt(t, srv.URL)
	tk.log = slog.New(slog.NewTextHandler(&log, nil))
	seen := watch(t, tk)
	// The newest record of the old Redis is ahead of the clock of the new one.
	ahead := time.Now().Add(time.Hour).UnixMilli()
	err := tk.db.Client().XAdd(t.Context(), &redis.XAddArgs{
		Stream: tk.kicksKey(), ID: formatMS(ahead), Values: []string{"room", "lobby", "role", "pub", "id", "ahead", "inc", "1"},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
	next(t, seen, "ahead")
	srv.Stop()
	redisdbtest.WantCode(t, tk.Kick(t.Context(), roomtest.Name(t, "lobby"), room.Pub, roomtest.ID(t, "alice")), apierr.Unavailable)
	srv.Start()
	mustKick(t, tk, "lobby", "alice")
	next(t, seen, "alice")
}

func TestWatchGoesOnAfterAFreeze(t *testing.T) {
	srv := testkit.StartRedis(t)
	tk := openAt(t, srv.URL)
	seen := watch(t, tk)
	mustKick(t, tk, "lobby", "before")
	next(t, seen, "before")
	srv.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	redisdbtest.WantCode(t, tk.Kick(ctx, roomtest.Name(t, "lobby"), room.Pub, roomtest.ID(t, "during")), apierr.Unavailable)
	srv.Resume()
	mustKick(t, tk, "lobby", "after")
	next(t, seen, "after")
}

func TestWatchWaitsForARedisThatIsNotThereYet(t *testing.T) {
	srv := testkit.StartRedis(t)
	srv.Stop()
	tk := openAt(t, srv.URL)
	seen := watch(t, tk)
	redisdbtest.WantCode(t, tk.db.Ping(t.Context()), apierr.Unavailable)
	srv.Start()
	mustKick(t, tk, "lobby", "alice")
	next(t, seen, "alice")
}

// formatMS is the id of a record written at that time.
func formatMS(ms int64) string { return strconv.FormatInt(ms, 10) + "-0" }
