package lease

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"weever/shared/eventually"
	"weever/shared/redisdb"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/testkit"
	"weever/shared/testkit/cable"
)

func TestLifeOfALease(t *testing.T) {
	redisdbtest.Each(t, func(t *testing.T, db *redisdb.DB) {
		l, k := New(db), keeper(t, db, "a", nil)
		if k.Age() != math.MaxInt64 || len(list(t, l)) != 0 {
			t.Fatalf("before it runs: %v, %+v", k.Age(), list(t, l))
		}
		stop := run(t, k)
		all := list(t, l)
		if len(all) != 1 || all[0].Record != self("a") || all[0].Dead || all[0].Remaining <= 0 || all[0].Remaining > ttl {
			t.Fatalf("got %+v", all)
		}
		for range 3 {
			last := k.last.Load()
			eventually.True(t, limit, "a refresh", func() bool { return k.last.Load() > last })
			if d := k.Age(); d < 0 || d > ttl {
				t.Fatalf("%v old", d)
			}
		}
		stop()
		if all := list(t, l); len(all) != 0 {
			t.Fatalf("after its end: %+v", all)
		}
		wantNotLost(t, k)
	})
}

func TestALeaseWithLeftoversIsLeft(t *testing.T) {
	t.Parallel()
	db := redisdbtest.Open(t, testkit.Redis(t))
	for name, left := range map[string]func(context.Context) (bool, error){
		"some":    func(context.Context) (bool, error) { return true, nil },
		"unknown": func(context.Context) (bool, error) { return false, errors.New("redis is away") },
		"none":    func(context.Context) (bool, error) { return false, nil },
	} {
		var log bytes.Buffer
		run(t, keeper(t, db, name, func(c *Config) { c.Leftovers, c.Log = left, slog.New(slog.NewTextHandler(&log, nil)) }))()
		if said := log.String(); strings.Contains(said, "err=") != (name == "unknown") || strings.Contains(said, "left") != (name != "none") {
			t.Errorf("%s: the log says %q", name, said)
		}
	}
	if got := names(list(t, New(db))); got != "some unknown" {
		t.Fatalf("left: %s", got)
	}
}

// A node is cut off, taken for dead, and comes back while another cleans up after it.
func TestOneComesBackWhileItIsReaped(t *testing.T) {
	t.Parallel()
	url := testkit.Redis(t)
	path := cable.New(t, strings.TrimPrefix(url, "redis://"))
	db := redisdbtest.Open(t, url)
	l, a, b := New(db), keeper(t, db, "a", nil), keeper(t, redisdbtest.Open(t, "redis://"+path.Addr), "b", nil)
	run(t, a)
	run(t, b)
	path.Cut()
	eventually.True(t, limit, "the one that is cut off", func() bool { return expired(t, l) == "b" })
	if d := b.Age(); d < ttl {
		t.Fatalf("taken for dead, but its lease is only %v old", d)
	}
	if !claim(t, l, "b", "i-a", neverEnds) {
		t.Fatal("it could not be claimed")
	}
	path.Heal()
	wantLost(t, b)
	if claim(t, l, "b", "i-a", neverEnds) || done(t, l, "b", "i-a") {
		t.Fatal("who cleans up does not notice that it is back")
	}
	eventually.True(t, limit, "its lease", func() bool { return b.Age() < ttl })
	if all := list(t, l); names(all) != "a b" || all[1].Dead || all[1].Remaining <= 0 {
		t.Fatalf("got %+v", all)
	}

	// The same again, but it comes too late.
	path.Cut()
	eventually.True(t, limit, "the one that is cut off", func() bool { return expired(t, l) == "b" })
	if !claim(t, l, "b", "i-a", neverEnds) || !done(t, l, "b", "i-a") {
		t.Fatal("it could not be removed")
	}
	path.Heal()
	wantLost(t, b)
	eventually.True(t, limit, "its lease", func() bool { return names(list(t, l)) == "a b" })
	wantNotLost(t, a)
}

func TestRedisLosesEverything(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	db := redisdbtest.Open(t, srv.URL)
	var log diary
	l, keepers := New(db), []*Keeper{}
	for _, name := range []string{"a", "b"} {
		k := keeper(t, db, name, func(c *Config) { c.Log = log.log() })
		run(t, k)
		keepers = append(keepers, k)
	}
	srv.Stop()
	for _, k := range keepers {
		eventually.True(t, limit, "the lease to run out", func() bool { return k.Age() > ttl })
	}
	srv.Start()
	for _, k := range keepers {
		wantLost(t, k)
	}
	eventually.True(t, limit, "the leases", func() bool { return names(list(t, l)) == "a b" })
	if expired(t, l) != "" {
		t.Fatalf("dead: %s", expired(t, l))
	}
	eventually.True(t, limit, "the log", func() bool { return log.count("is refreshed again") == 2 })
	if n := log.count("cannot be refreshed"); n != 2 {
		t.Errorf("%d complaints of two nodes in one outage", n)
	}
}

// Redis hangs longer than any lease lasts, and keeps its data: nobody died of that but who was dead before.
func TestNobodyDiesOfAnOutage(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	db := redisdbtest.Open(t, srv.URL)
	l, a, b := New(db), keeper(t, db, "a", nil), keeper(t, db, "b", nil)
	stop := run(t, a)
	run(t, b)
	crash(t, db, "c")
	srv.Pause()
	for _, k := range []*Keeper{a, b} {
		eventually.True(t, limit, "the leases to run out", func() bool { return k.Age() > ttl })
	}
	stop() // this one ends meanwhile; it cannot say so
	srv.Resume()
	if claim(t, l, "a", "i-x", time.Minute) || claim(t, l, "b", "i-x", time.Minute) || expired(t, l) != "" {
		t.Fatalf("reaped after an outage: %+v", list(t, l))
	}
	wantLost(t, b)
	eventually.True(t, limit, "those who are dead", func() bool {
		switch got := expired(t, l); got {
		case "":
			return false
		case "c", "a c":
			return got == "a c"
		default:
			t.Fatalf("dead: %s", got)
			return false
		}
	})
}

func TestAShortOutageIsNoInterruption(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	var log diary
	k := keeper(t, redisdbtest.Open(t, srv.URL), "a", func(c *Config) { c.Log, c.TTL = log.log(), neverEnds })
	run(t, k)
	srv.Pause()
	eventually.True(t, limit, "the failure", func() bool { return log.count("cannot be refreshed") == 1 })
	srv.Resume()
	eventually.True(t, limit, "the success", func() bool { return log.count("is refreshed again") == 1 && k.Age() < ttl })
	wantNotLost(t, k)
}

func TestAKeeperWaitsForARedisThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	srv.Stop()
	db := redisdbtest.Open(t, srv.URL)
	var log diary
	k := keeper(t, db, "a", func(c *Config) { c.Log = log.log() })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	eventually.True(t, limit, "the failure", func() bool { return log.count("cannot be refreshed") == 1 })
	if k.Age() != math.MaxInt64 {
		t.Errorf("refreshed %v ago", k.Age())
	}
	srv.Start()
	eventually.True(t, limit, "the lease", func() bool { return k.Age() < ttl })
	wantNotLost(t, k)
	srv.Stop()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
}

func TestNewKeeperNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := NewKeeper(Config{Period: time.Second, TTL: 2 * time.Second})
	for _, want := range []string{"DB is missing", "more than twice Period", "node is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	db := redisdbtest.Open(t, "redis://127.0.0.1:1")
	for want, spoil := range map[string]func(r *Record){
		"epoch":    func(r *Record) { r.Epoch = 0 },
		"instance": func(r *Record) { r.Instance = "a b" },
		"url":      func(r *Record) { r.URL = strings.Repeat("x", maxText+1) },
		"version":  func(r *Record) { r.Version = strings.Repeat("x", maxText+1) },
	} {
		r := self("a")
		spoil(&r)
		if _, err := NewKeeper(Config{DB: db, Self: r}); !errors.Is(err, errRecord) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := NewKeeper(Config{DB: db, Self: self("a")}); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
