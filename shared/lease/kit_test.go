package lease

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weever/shared/eventually"
	"weever/shared/logtest"
	"weever/shared/redisdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	limit     = 20 * time.Second // for what must happen
	period    = 150 * time.Millisecond
	ttl       = 1500 * time.Millisecond
	neverEnds = time.Hour // of claims and leases that must not run out
)

func self(name string) Record {
	return Record{Node: name, Instance: "i-" + name, Epoch: 1763500000123456, URL: "https://" + name + ".example", Region: "eu", Version: "v1"}
}

func keeper(t *testing.T, db *redisdb.DB, name string, change func(*Config)) *Keeper {
	t.Helper()
	cfg := Config{DB: db, Self: self(name), Period: period, TTL: ttl}
	if change != nil {
		change(&cfg)
	}
	k, err := NewKeeper(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// run runs the keeper until the returned function is called, or until the test ends.
func run(t *testing.T, k *Keeper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(limit):
			t.Error("Run did not end with its context")
		}
	})
	t.Cleanup(stop)
	eventually.True(t, limit, "the first refresh", func() bool { return k.Age() < time.Hour })
	return stop
}

// crash leaves the lease of a process of that name, as if the process had been killed.
func crash(t *testing.T, db *redisdb.DB, name string) {
	t.Helper()
	run(t, keeper(t, db, name, func(c *Config) { c.Leftovers = func(context.Context) (bool, error) { return true, nil } }))()
}

func list(t *testing.T, l *Leases) []Lease {
	t.Helper()
	all, err := l.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// expired names those that wait for a reaper.
func expired(t *testing.T, l *Leases) string {
	t.Helper()
	all, err := l.Expired(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names(all)
}

func names(leases []Lease) string {
	var s []string
	for _, e := range leases {
		s = append(s, e.Node)
	}
	return strings.Join(s, " ")
}

func claim(t *testing.T, l *Leases, name, by string, d time.Duration) bool {
	t.Helper()
	yes, err := l.Claim(t.Context(), self(name).Instance, self(name).Epoch, by, d)
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

func done(t *testing.T, l *Leases, name, by string) bool {
	t.Helper()
	yes, err := l.Done(t.Context(), self(name).Instance, self(name).Epoch, by)
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

func condemn(t *testing.T, l *Leases, name string) bool {
	t.Helper()
	yes, err := l.Condemn(t.Context(), self(name).Instance, self(name).Epoch)
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

// wantLost waits for a notice.
func wantLost(t *testing.T, k *Keeper) {
	t.Helper()
	select {
	case <-k.Lost():
	case <-time.After(limit):
		t.Fatalf("%s did not learn that its lease was interrupted", k.cfg.Self.Node)
	}
}

func wantNotLost(t *testing.T, k *Keeper) {
	t.Helper()
	select {
	case <-k.Lost():
		t.Fatalf("%s was told that its lease was interrupted", k.cfg.Self.Node)
	default:
	}
}

// diary is a log that is written and read at the same time.
type diary struct{ logtest.Buffer }

func (d *diary) count(text string) int { return strings.Count(d.String(), text) }

func (d *diary) log() *slog.Logger { return slog.New(slog.NewTextHandler(d, nil)) }
