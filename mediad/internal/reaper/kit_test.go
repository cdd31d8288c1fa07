package reaper

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"weever/mediad/internal/nodecall"
	"weever/shared/events"
	"weever/shared/eventually"
	"weever/shared/lease"
	"weever/shared/redisdb"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	limit  = 20 * time.Second // for what must happen
	ttl    = time.Second      // of leases, where they are to run out
	never  = time.Hour
	window = 300 * time.Millisecond
	epoch  = 1763500000123456
)

// node is a process as far as the others see it: a lease, an ear on the bus and records in Redis.
type node struct {
	name   string // also its instance
	nc     *nats.Conn
	calls  *nodecall.Calls
	store  *store.Store
	leases *lease.Leases
	db     *redisdb.DB
	deaf   func()  // ends its ear
	silent func()  // ends its refreshes; its lease stays
	reaper *Reaper // once it reaps
}

// start makes a node whose lease lasts so long without a refresh.
func start(t *testing.T, name, redisURL, natsURL string, ttl time.Duration) *node {
	t.Helper()
	n := &node{name: name, db: redisdbtest.Open(t, redisURL)}
	n.store, n.leases = store.New(n.db, nil), lease.New(n.db)
	var err error
	n.nc, err = nats.Connect(natsURL, nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.IgnoreDiscoveredServers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.nc.Close)
	n.listen(t)
	n.silent = n.keep(t, ttl)
	return n
}

// listen answers calls until deaf is called.
func (n *node) listen(t *testing.T) {
	t.Helper()
	var err error
	if n.calls, err = nodecall.New(n.nc, "test", n.name, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	n.deaf = run(t, n.calls.Run)
	<-n.calls.Ready()
}

// keep refreshes the lease until the returned function is called.
func (n *node) keep(t *testing.T, ttl time.Duration) (stop func()) {
	t.Helper()
	k, err := lease.NewKeeper(lease.Config{
		DB: n.db, Self: lease.Record{Node: n.name, Instance: n.name, Epoch: epoch}, Period: 100 * time.Millisecond, TTL: ttl,
		Leftovers: func(context.Context) (bool, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop = run(t, k.Run)
	eventually.True(t, limit, "the lease of "+n.name, func() bool { return k.Age() < never })
	return stop
}

// run runs f until the test ends or the returned function is called.
func run(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (n *node) die() {
	n.silent()
	n.deaf()
}

// reap runs a reaper on the node.
func (n *node) reap(t *testing.T, change func(*Config)) (stop func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	cfg := Config{
		Self: n.name, Leases: n.leases, Store: n.store, Bus: events.New(n.nc, "test", log), Calls: n.calls, Conn: n.nc, ResumeWindow: window, Log: log,
		Timing: Timing{Period: 50 * time.Millisecond, Between: 20 * time.Millisecond, Steady: 100 * time.Millisecond, Claim: time.Second},
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.reaper = r
	return run(t, r.Run)
}

// live makes a publisher of this node live.
func (n *node) live(t *testing.T, rm room.Name, id string) room.Publisher {
	t.Helper()
	full, err := room.ParseFullID(id)
	if err != nil {
		t.Fatal(err)
	}
	inc, err := n.store.NextInc(t.Context(), rm)
	if err != nil {
		t.Fatal(err)
	}
	res, err := n.store.GoLive(t.Context(), rm, room.Publisher{
		FullID: full, Session: n.name + "-" + id, Owner: n.owner(), Inc: inc, JoinedAt: time.UnixMicro(inc), Tracks: []room.Track{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return res.Publisher
}

func (n *node) watch(t *testing.T, rm room.Name, id string) {
	t.Helper()
	full, err := room.ParseFullID(id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.store.AddSubscriber(t.Context(), rm, room.Subscriber{FullID: full, Session: n.name + "-" + id, Owner: n.owner(), JoinedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) owner() room.Owner { return room.Owner{Node: n.name, Instance: n.name, Epoch: epoch} }

// people lists who is in a room, with the states of publishers.
func (n *node) people(t *testing.T, rm room.Name) []string {
	t.Helper()
	pubs, err := n.store.Publishers(t.Context(), rm)
	if err != nil {
		t.Fatal(err)
	}
	subs, err := n.store.Subscribers(t.Context(), rm)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, p := range pubs {
		list = append(list, p.FullID.String()+" "+string(p.State))
	}
	for _, s := range subs {
		list = append(list, s.FullID.String())
	}
	slices.Sort(list)
	return list
}

// leased names those who have a lease.
func (n *node) leased(t *testing.T) []string {
	t.Helper()
	all, err := n.leases.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, l := range all {
		names = append(names, l.Node)
	}
	return names
}

// news collects what is told of a room, each as "alice away" or "alice left".
func (n *node) news(t *testing.T, rm room.Name) func() []string {
	t.Helper()
	var mu sync.Mutex
	list := []string{}
	stop, err := events.New(n.nc, "test", slog.New(slog.DiscardHandler)).Subscribe(rm, func(ev events.Event) {
		mu.Lock()
		defer mu.Unlock()
		what := string(ev.Publisher.State)
		if ev.Kind == events.Left {
			what = "left"
		}
		list = append(list, ev.Publisher.FullID.String()+" "+what)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

func wantSet(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got = slices.Sorted(slices.Values(got)); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
