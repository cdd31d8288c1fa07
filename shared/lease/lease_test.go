package lease

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"weever/shared/apierr"
	"weever/shared/eventually"
	"weever/shared/redisdb"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/testkit"
)

func TestTheDeadAreFoundAndTheJobIsOnePersons(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		l, a := New(db), keeper(t, db, "a", nil)
		run(t, a)
		crash(t, db, "b")
		if claim(t, l, "b", "i-a", time.Minute) {
			t.Fatal("a lease that has not expired was claimed")
		}
		eventually.True(t, limit, "the dead node", func() bool { return expired(t, l) == "b" })
		if all := list(t, l); names(all) != "a b" || all[0].Dead || all[0].Remaining <= 0 || !all[1].Dead || all[1].Remaining > 0 {
			t.Fatalf("got %+v", all)
		}

		var winners atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				by := fmt.Sprintf("i-%d", i)
				yes, err := l.Claim(t.Context(), "i-b", self("b").Epoch, by, neverEnds)
				if err != nil {
					t.Error(err)
				}
				if yes {
					winners.Add(1)
					winner.Store(by)
				}
			})
		}
		wg.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("%d claimed it", n)
		}
		first := winner.Load().(string) //nolint:forcetypeassert // a winner has stored it
		if e := list(t, l)[1]; e.Reaper != first || expired(t, l) != "" {
			t.Fatalf("claimed: %+v; waiting: %q", e, expired(t, l))
		}
		// The winner dies, too: its claim runs out and another takes over.
		if !claim(t, l, "b", first, time.Millisecond) {
			t.Fatal("the winner could not claim again")
		}
		eventually.True(t, limit, "the claim to run out", func() bool { return expired(t, l) == "b" })
		if !claim(t, l, "b", "i-second", neverEnds) || claim(t, l, "b", first, neverEnds) {
			t.Fatal("the second did not take over, or the first took it back")
		}
		if done(t, l, "b", first) || done(t, l, "a", "i-second") {
			t.Fatal("done with what was not theirs")
		}
		if !done(t, l, "b", "i-second") {
			t.Fatal("could not be done")
		}
		if done(t, l, "b", "i-second") || claim(t, l, "b", "i-second", time.Minute) || names(list(t, l)) != "a" {
			t.Fatalf("after it was done: %+v", list(t, l))
		}
		wantNotLost(t, a)
	})
}

func TestNobodyClaimsTheLiving(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		l := New(db)
		run(t, keeper(t, db, "a", nil))
		for name, try := range map[string]func() (bool, error){
			"claim":                 func() (bool, error) { return l.Claim(t.Context(), "i-a", self("a").Epoch, "i-b", neverEnds) },
			"claim another epoch":   func() (bool, error) { return l.Claim(t.Context(), "i-a", 7, "i-b", neverEnds) },
			"claim nobody":          func() (bool, error) { return l.Claim(t.Context(), "i-x", 7, "i-b", neverEnds) },
			"done":                  func() (bool, error) { return l.Done(t.Context(), "i-a", self("a").Epoch, "i-b") },
			"done, by nobody":       func() (bool, error) { return l.Done(t.Context(), "i-a", 7, "") },
			"condemn another":       func() (bool, error) { return l.Condemn(t.Context(), "i-a", 7) },
			"condemn nobody":        func() (bool, error) { return l.Condemn(t.Context(), "i-x", 7) },
			"leave another epoch":   func() (bool, error) { _, err := l.ask(t.Context(), "leave", "i-a", 7); return false, err },
			"claim a field of ours": func() (bool, error) { return l.Claim(t.Context(), " fresh", 7, "i-b", neverEnds) },
		} {
			if yes, err := try(); yes || err != nil {
				t.Errorf("%s: %v, %v", name, yes, err)
			}
		}
		if all := list(t, l); names(all) != "a" || all[0].Dead || all[0].Reaper != "" {
			t.Errorf("got %+v", all)
		}
		for _, by := range []string{"", "a b", "ä"} {
			if _, err := l.Claim(t.Context(), "i-a", 7, by, time.Minute); err == nil {
				t.Errorf("claimed by %q", by)
			}
		}
	})
}

// Somebody knows by other ways that the node is dead. It is not: it has its lease back, and learns of it.
func TestTheCondemned(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		l, k := New(db), keeper(t, db, "a", func(c *Config) { c.Period, c.TTL = time.Minute, neverEnds })
		if err := k.refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if !condemn(t, l, "a") || expired(t, l) != "a" || !claim(t, l, "a", "i-b", neverEnds) {
			t.Fatalf("got %+v", list(t, l))
		}
		if !condemn(t, l, "a") || expired(t, l) != "" {
			t.Fatal("condemning again took the job away")
		}
		if err := k.refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		wantLost(t, k)
		if e := list(t, l)[0]; e.Dead || e.Reaper != "" || claim(t, l, "a", "i-b", neverEnds) || done(t, l, "a", "i-b") {
			t.Fatalf("the lease was not given back: %+v", e)
		}
	})
}

// An interruption is told even when the reply that would have told it was lost on its way.
func TestALostReplyIsNoLostNotice(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		l, k := New(db), keeper(t, db, "a", nil)
		refresh := func(k *Keeper) {
			t.Helper()
			if err := k.refresh(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		refresh(k)
		refresh(k)
		wantNotLost(t, k)
		condemn(t, l, "a")
		refresh(keeper(t, db, "a", nil)) // what Redis did while our reply was lost
		refresh(k)
		wantLost(t, k)
		refresh(k)
		wantNotLost(t, k)
	})
}

// The clock is that of Redis, and a Redis that was away has killed nobody.
func TestTheClockOfRedis(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	db := redisdbtest.Open(t, "redis://"+m.Addr())
	l, start := New(db), time.Now()
	at := func(seconds int) { m.SetTime(start.Add(time.Duration(seconds) * time.Second)) }
	keepers := map[string]*Keeper{}
	for _, name := range []string{"a", "b"} {
		keepers[name] = keeper(t, db, name, func(c *Config) { c.Period, c.TTL = 0, 0 })
	}
	refresh := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if err := keepers[name].refresh(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(when string, dead string, a, b int) {
		t.Helper()
		all := list(t, l)
		if len(all) != 2 || expired(t, l) != dead || all[0].Remaining != time.Duration(a)*time.Second || all[1].Remaining != time.Duration(b)*time.Second {
			t.Fatalf("%s: dead: %q; %+v", when, expired(t, l), all)
		}
		if dead == "" && (claim(t, l, "a", "i-c", time.Minute) || claim(t, l, "b", "i-c", time.Minute)) {
			t.Fatalf("%s: claimed", when)
		}
	}
	at(0)
	refresh("a", "b")
	want("at the start", "", 10, 10)
	for _, s := range []int{3, 6, 9} {
		at(s)
		refresh("a")
	}
	want("after three periods", "", 10, 1)
	at(11)
	want("one fell silent", "b", 8, -1)
	refresh("b")
	want("it is back", "", 8, 10)
	wantLost(t, keepers["b"])
	wantNotLost(t, keepers["a"])

	at(30)
	want("nobody reached Redis", "", -11, -9)
	refresh("a")
	want("the first is back", "", 10, -9)
	for _, s := range []int{33, 36, 39} {
		at(s)
		want("others may come yet", "", 7, 21-s) // the first has refreshed three seconds ago
		refresh("a")
	}
	at(41)
	want("the other has had its time", "b", 8, -20)

	at(-100) // a Redis whose clock is behind
	refresh("a", "b")
	for _, s := range []int{-97, -94, -91, -89} {
		at(s)
		refresh("a")
	}
	want("the clock went back", "b", 10, -1)
	wantNotLost(t, keepers["b"])
	if !claim(t, l, "b", "i-c", time.Minute) {
		t.Fatal("it could not be claimed")
	}
	at(-95) // again: by this clock the lease that was claimed has not expired
	refresh("b")
	wantLost(t, keepers["b"])
}

func TestForeignLeasesAreLeftOut(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		l, ctx := New(db), t.Context()
		run(t, keeper(t, db, "a", nil))
		for field, raw := range map[string]string{
			"x1": "", "x2": "2 1 1 1 0 @ {}", "x3": "1 1 1 1 0 @ {broken", "x4": `1 1 1 1 0 @ {"node":"n","instance":"other"}`,
			"x5": `1 99999999999999999999 1 1 0 @ {"node":"n","instance":"x5"}`, "x 6": `1 1 1 0 0 @ {"node":"n","instance":"x 6"}`, "": "1 1 1 1 0 @ {}",
		} {
			if err := db.Client().HSet(ctx, l.keys()[0], field, raw).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if all := list(t, l); names(all) != "a" || all[0].Record != self("a") {
			t.Fatalf("got %+v", all)
		}
	})
}

func TestLeasesWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	srv.Stop()
	l := New(redisdbtest.Open(t, srv.URL))
	for name, call := range map[string]func(context.Context) error{
		"List":    func(ctx context.Context) error { _, err := l.List(ctx); return err },
		"Expired": func(ctx context.Context) error { _, err := l.Expired(ctx); return err },
		"Claim":   func(ctx context.Context) error { _, err := l.Claim(ctx, "i", 1, "j", time.Minute); return err },
		"Done":    func(ctx context.Context) error { _, err := l.Done(ctx, "i", 1, "j"); return err },
		"Condemn": func(ctx context.Context) error { _, err := l.Condemn(ctx, "i", 1); return err },
	} {
		t.Run(name, func(t *testing.T) { redisdbtest.WantCode(t, call(t.Context()), apierr.Unavailable) })
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("i1", `1 1763500000123456 1763500000123456 1763500010123456 0 @ {"node":"n","instance":"i1","url":"https://n"}`, int64(1763500000123456))
	f.Add("i1", `1 1 1 0 9 @i2 {"node":"n","instance":"i1"}`, int64(5))
	f.Add("", "1 1 1 1 1 @ null", int64(0))
	f.Add("a", "1 1e3 -1 1 1 x {}", int64(-1))
	f.Fuzz(func(t *testing.T, field, raw string, now int64) {
		l, err := decode(field, raw, now)
		if err == nil && (l.Instance != field || l.Epoch <= 0 || l.Node == "" || len(l.URL) > maxText) {
			t.Fatalf("accepted %+v", l)
		}
	})
}
