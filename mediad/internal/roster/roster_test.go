package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"weever/shared/events"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/store"
	"weever/shared/testkit"
)

const (
	limit = 20 * time.Second // for what must happen
	never = time.Hour        // between looks into Redis, where a test shows that something else does it
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a media node as far as rooms go: a store, a bus and a roster that runs until the test ends.
type node struct {
	*Roster
	nc       *nats.Conn
	name     string
	redisURL string
}

// idle makes a node whose roster does not run.
func idle(t *testing.T, name, redisURL, natsURL string, healEvery time.Duration) *node {
	t.Helper()
	s := store.New(redisdbtest.Open(t, redisURL), nil)
	nc, err := nats.Connect(natsURL, nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1), nats.IgnoreDiscoveredServers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	log := slog.New(slog.DiscardHandler)
	return &node{Roster: New(Config{Store: s, Bus: events.New(nc, "test", log), Log: log, HealEvery: healEvery}), nc: nc, name: name, redisURL: redisURL}
}

func running(t *testing.T, name, redisURL, natsURL string, healEvery time.Duration) *node {
	t.Helper()
	n := idle(t, name, redisURL, natsURL, healEvery)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: Run returned %v", name, err)
		}
	})
	return n
}

func (n *node) open(t *testing.T, rm room.Name) *Room {
	t.Helper()
	h, err := n.Open(t.Context(), rm)
	if err != nil {
		t.Fatalf("%s: %v", n.name, err)
	}
	t.Cleanup(h.Close)
	return h
}

// live makes a publisher live in Redis and tells nobody.
func (n *node) live(t *testing.T, rm room.Name, id string) store.Change {
	t.Helper()
	inc, err := n.store.NextInc(t.Context(), rm)
	if err != nil {
		t.Fatal(err)
	}
	p := record(t, id, inc)
	p.Owner = room.Owner{Node: n.name, Instance: n.name}
	p.JoinedAt = time.UnixMicro(inc).UTC()
	res, err := n.store.GoLive(t.Context(), rm, p)
	if err != nil {
		t.Fatal(err)
	}
	return res.Change
}

func (n *node) remove(t *testing.T, rm room.Name, p room.Publisher) store.Change {
	t.Helper()
	c, err := n.store.RemovePublisher(t.Context(), rm, p.FullID, p.Inc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tell(t *testing.T, h *Room, kind events.Kind, c store.Change) {
	t.Helper()
	if err := h.Tell(kind, c); err != nil {
		t.Fatal(err)
	}
}

// await waits until the view is as wanted, looking only when the watch says so.
func await(t *testing.T, h *Room, what string, ok func(v *View) bool) *View {
	t.Helper()
	changed, stop := h.Watch()
	defer stop()
	timeout := time.After(limit)
	for {
		select {
		case <-changed:
			if v := h.View(); ok(v) {
				return v
			}
		case <-timeout:
			t.Fatalf("waited for %s; the view is %v, unconfirmed %v", what, h.View().Sorted(), h.View().Unconfirmed)
		}
	}
}

// awaitIDs waits until exactly these are in the room, oldest first, and Redis knows them.
func awaitIDs(t *testing.T, h *Room, ids ...string) *View {
	t.Helper()
	return await(t, h, strings.Join(ids, ", "), func(v *View) bool { return slices.Equal(idsOf(v), ids) && len(v.Unconfirmed) == 0 })
}

func idsOf(v *View) []string {
	var ids []string
	for _, p := range v.Sorted() {
		ids = append(ids, p.FullID.String())
	}
	return ids
}

func TestNodesOnDifferentServersSeeEachOther(t *testing.T) {
	redisURL, servers := testkit.Redis(t), testkit.NATSCluster(t, 3)
	var nodes []*node
	var rooms []*Room
	rm := roomtest.Name(t, "r")
	for i, srv := range servers {
		n := running(t, fmt.Sprintf("n%d", i), redisURL, srv.URL, never)
		nodes, rooms = append(nodes, n), append(rooms, n.open(t, rm))
	}
	alice := nodes[0].live(t, rm, "alice")
	tell(t, rooms[0], events.Up, alice)
	if got := idsOf(rooms[0].View()); !slices.Equal(got, []string{"alice"}) {
		t.Fatalf("the node's own change shows as %v", got)
	}
	for _, h := range rooms {
		awaitIDs(t, h, "alice")
	}
	bob := nodes[1].live(t, rm, "bob")
	tell(t, rooms[1], events.Up, bob)
	away, err := nodes[2].store.MarkAway(t.Context(), rm, alice.Publisher.FullID, alice.Publisher.Inc)
	if err != nil {
		t.Fatal(err)
	}
	tell(t, rooms[2], events.Up, away)
	for _, h := range rooms {
		await(t, h, "alice away", func(v *View) bool {
			return len(v.Publishers) == 2 && v.Publishers[alice.Publisher.FullID].State == room.Away
		})
	}
	late := running(t, "late", redisURL, servers[0].URL, never).open(t, rm)
	if got := idsOf(late.View()); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Fatalf("who comes late sees %v", got)
	}
	tell(t, rooms[2], events.Left, nodes[2].remove(t, rm, alice.Publisher))
	for _, h := range append(rooms, late) {
		awaitIDs(t, h, "bob")
	}
	if c, err := nodes[2].store.MarkAway(t.Context(), rm, bob.Publisher.FullID, bob.Publisher.Inc); err != nil {
		t.Fatal(err)
	} else if c.Seq = 0; rooms[2].Tell(events.Up, c) != nil || rooms[2].View().Publishers[bob.Publisher.FullID].State != room.Live {
		t.Fatal("what changed nothing was told")
	}
}

func TestOpensAreSharedAndCounted(t *testing.T) {
	srv := testkit.StartRedis(t)
	n := idle(t, "n", srv.URL, testkit.NATS(t), never)
	rdb := dialRedis(t, srv.URL)
	rm := roomtest.Name(t, "r")
	n.live(t, rm, "alice")

	before := hgetalls(t, rdb)
	srv.Pause()
	holds := make([]*Room, 50)
	var wg sync.WaitGroup
	for i := range holds {
		wg.Go(func() {
			h, err := n.Open(context.WithoutCancel(t.Context()), rm)
			if err != nil {
				t.Error(err)
				return
			}
			holds[i] = h
			if got := idsOf(h.View()); !slices.Equal(got, []string{"alice"}) {
				t.Errorf("opened with %v", got)
			}
		})
	}
	srv.Resume()
	wg.Wait()
	if t.Failed() {
		return
	}
	if got := hgetalls(t, rdb) - before; got != 1 || n.nc.NumSubscriptions() != 1 {
		t.Fatalf("%d reads and %d subscriptions for one room", got, n.nc.NumSubscriptions())
	}
	for _, h := range holds[1:] {
		h.Close()
		h.Close()
	}
	kept := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.rooms)
	}
	if n.nc.NumSubscriptions() != 1 || kept() != 1 {
		t.Fatal("the room went while somebody was in it")
	}
	holds[0].Close()
	if n.nc.NumSubscriptions() != 0 || kept() != 0 {
		t.Fatalf("left behind: %d subscriptions, %d rooms", n.nc.NumSubscriptions(), kept())
	}
	if got := idsOf(holds[0].View()); !slices.Equal(got, []string{"alice"}) {
		t.Fatalf("after Close the view is %v", got)
	}
}

func TestAnOpenThatIsGivenUpLeavesNothing(t *testing.T) {
	srv := testkit.StartRedis(t)
	n := idle(t, "n", srv.URL, testkit.NATS(t), never)
	rm := roomtest.Name(t, "r")
	srv.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Open(ctx, rm); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("opening while Redis hangs: %v", err)
	}
	srv.Resume()
	h := n.open(t, rm) // not hindered by the one before
	h.Close()
	for timeout := time.After(limit); n.nc.NumSubscriptions() > 0; {
		select {
		case <-timeout:
			t.Fatalf("%d subscriptions left behind", n.nc.NumSubscriptions())
		case <-time.Tick(5 * time.Millisecond):
		}
	}
}

func TestARoomCanBeOpenedWhileTheBusIsAway(t *testing.T) {
	srv := testkit.NATSCluster(t, 1)[0]
	n := running(t, "n", testkit.Redis(t), srv.URL, never)
	rm := roomtest.Name(t, "r")
	srv.Stop()
	h := n.open(t, rm)
	c := n.live(t, rm, "alice")
	if err := h.Tell(events.Up, c); err != nil {
		t.Fatalf("a short absence of the bus is an error: %v", err)
	}
	awaitIDs(t, h, "alice")
	srv.Start()
	m := running(t, "m", n.redisURL, srv.URL, never)
	bob := m.live(t, rm, "bob")
	for !n.nc.IsConnected() { // then its subscription is in force, or will be followed by a look into Redis
		<-time.Tick(5 * time.Millisecond)
	}
	tell(t, m.open(t, rm), events.Up, bob)
	awaitIDs(t, h, "alice", "bob")
}

func TestAStormIsGathered(t *testing.T) {
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	a, b := running(t, "a", redisURL, natsURL, never), running(t, "b", redisURL, natsURL, never)
	rm := roomtest.Name(t, "r")
	ha, hb := a.open(t, rm), b.open(t, rm)
	slow, stop := hb.Watch()
	defer stop()
	<-slow
	var last int64
	want := map[string]bool{}
	for i := range 1000 {
		id := fmt.Sprintf("p%d", i%100)
		c := a.live(t, rm, id)
		want[id] = true
		tell(t, ha, events.Up, c)
		last = c.Seq
	}
	v := await(t, hb, "the last event", func(v *View) bool { return v.Seq == last && len(v.Publishers) == len(want) })
	if got := slices.Sorted(slices.Values(idsOf(v))); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Fatalf("the storm left %v", got)
	}
	select {
	case <-slow:
	default:
		t.Fatal("the slow watcher was not told")
	}
	select {
	case <-slow:
		t.Fatal("the slow watcher was told twice")
	default:
	}
}

func TestManySessionsComeAndGo(t *testing.T) {
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	nodes := []*node{running(t, "a", redisURL, natsURL, 10*time.Millisecond), running(t, "b", redisURL, natsURL, 10*time.Millisecond)}
	rm := roomtest.Name(t, "r")
	ctx := context.WithoutCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		n := nodes[w%2]
		wg.Go(func() {
			for range 15 {
				h, err := n.Open(ctx, rm)
				if err != nil {
					t.Error(err)
					return
				}
				changed, stop := h.Watch()
				c := n.live(t, rm, fmt.Sprintf("p%d", w))
				if err := h.Tell(events.Up, c); err != nil {
					t.Error(err)
				}
				<-changed
				if _, ok := h.View().Publishers[c.Publisher.FullID]; !ok {
					t.Error("the own publisher is not in the view")
				}
				if err := h.Tell(events.Left, n.remove(t, rm, c.Publisher)); err != nil {
					t.Error(err)
				}
				stop()
				h.Close()
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		awaitIDs(t, n.open(t, rm))
	}
}
