package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/control"
	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
	"weever/shared/testkit/cable"
)

// These tests let nodes die, freeze and lose their backends, and look what clients elsewhere notice. Each has processes of its own, so
// they run side by side: most of their time is waiting for deadlines.

// A killed node: its publishers are away within 6 s and have left within 20 s for viewers on all other nodes, nothing of it is left in
// Redis, and nobody else notices.
func TestANodeIsKilled(t *testing.T) {
	t.Parallel()
	f := launchFleet(t, newCluster(t, 3))
	alice := f.nodes[0].publish(t, "tea", "alice")
	f.nodes[1].publish(t, "tea", "carol")
	erin := f.nodes[0].subscribe(t, "tea", "erin")
	viewers := []*client.Subscriber{f.nodes[1].subscribe(t, "tea", "bob"), f.nodes[2].subscribe(t, "tea", "dan")}
	for _, v := range append(viewers, erin) {
		plays(t, v, "alice", "video0")
		plays(t, v, "carol", "video0")
	}
	dead := instanceOf(t, alice.Location())
	if got := f.records(t, "tea", dead); !slices.Equal(got, []string{"index tea", "pub alice live", "sub erin"}) {
		t.Fatalf("before: %v", got)
	}

	began := time.Now()
	f.nodes[0].kill(t)
	for _, v := range viewers {
		hearsWithin(t, v, 0, away(t, "alice"), began, 6*time.Second)
	}
	for _, v := range viewers {
		hearsWithin(t, v, 0, left(t, "alice"), began, 20*time.Second)
	}
	await(t, "the dead node to be cleaned up after", time.Until(began.Add(20*time.Second)), func() bool {
		_, there := f.lease(t, "node-0")
		return !there
	})
	t.Logf("clean after %v", time.Since(began).Round(10*time.Millisecond))
	if got := f.records(t, "tea", dead); len(got) != 0 {
		t.Errorf("left in Redis: %v", got)
	}
	for _, v := range viewers {
		unbroken(t, v, "carol")
		if toldOf(v, away(t, "carol")) {
			t.Error("a publisher elsewhere was announced as away")
		}
	}
}

// The person comes back at another node within the window: her viewers see one stream go on in the same sections.
func TestAPublisherOfAKilledNodeComesBack(t *testing.T) {
	t.Parallel()
	f := launchFleet(t, newCluster(t, 3))
	f.nodes[0].publish(t, "tea", "alice")
	viewers := []*client.Subscriber{f.nodes[1].subscribe(t, "tea", "bob"), f.nodes[2].subscribe(t, "tea", "dan")}
	var rounds []int
	for _, v := range viewers {
		plays(t, v, "alice", "video0")
		rounds = append(rounds, v.Rounds())
	}
	began := time.Now()
	f.nodes[0].kill(t)
	for _, v := range viewers {
		hearsWithin(t, v, 0, away(t, "alice"), began, 6*time.Second)
	}
	from := len(viewers[0].Log())
	f.nodes[1].publish(t, "tea", "alice")
	if _, _, err := viewers[0].AwaitFrom(within(t, 5*time.Second), from, func(m control.Message) bool { return m == join(t, "alice") }); err != nil {
		t.Errorf("no return: %v", err)
	}
	await(t, "the dead node to be cleaned up after", 20*time.Second, func() bool {
		_, there := f.lease(t, "node-0")
		return !there
	})
	for i, v := range viewers {
		st := more(t, v, "alice", "video0", 20)
		if st.Streams != 2 || st.Backwards != 0 || v.Rounds() != rounds[i] || toldOf(v, left(t, "alice")) {
			t.Errorf("%d sources, %d times backwards, %d rounds, heard %v", st.Streams, st.Backwards, v.Rounds()-rounds[i], v.Log())
		}
	}
}

// A frozen node whose publisher was taken over elsewhere says nothing more of her when it wakes.
func TestAFrozenNodeWakes(t *testing.T) {
	t.Parallel()
	f := launchFleet(t, newCluster(t, 3))
	old := f.nodes[0].publish(t, "tea", "alice")
	viewers := []*client.Subscriber{
		f.nodes[0].subscribe(t, "tea", "erin"), f.nodes[1].subscribe(t, "tea", "bob"), f.nodes[2].subscribe(t, "tea", "dan"),
	}
	for _, v := range viewers {
		plays(t, v, "alice", "video0")
	}
	frozen := instanceOf(t, old.Location())
	_, first := stamp(t, viewers[1], "alice")

	f.nodes[0].signal(t, syscall.SIGSTOP)
	began := time.Now()
	f.nodes[1].publish(t, "tea", "alice") // and the first does not stop sending
	for _, v := range viewers[1:] {
		if _, err := v.AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st client.TrackStats) bool { return st.Stream != first }); err != nil {
			t.Fatal(err)
		}
	}
	_, second := stamp(t, viewers[1], "alice")
	await(t, "the frozen node to be taken for dead", 20*time.Second, func() bool {
		_, there := f.lease(t, "node-0")
		return !there
	})
	if got := f.records(t, "tea", frozen); len(got) != 0 {
		t.Errorf("left in Redis: %v", got)
	}
	t.Logf("cleaned up after %v", time.Since(began).Round(10*time.Millisecond))
	<-time.After(time.Until(began.Add(16 * time.Second)))
	f.nodes[0].signal(t, syscall.SIGCONT)
	awake := time.Now()
	select {
	case <-old.Done():
		t.Logf("the session that was overtaken ended after %v", time.Since(awake).Round(time.Millisecond))
	case <-time.After(5 * time.Second):
		t.Error("the session that was overtaken does not end")
	}
	if _, err := viewers[0].AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st client.TrackStats) bool { return st.Stream == second }); err != nil {
		t.Errorf("the viewer beside her: %v", err)
	}
	await(t, "the node to be back", 10*time.Second, func() bool {
		l, there := f.lease(t, "node-0")
		return there && !l.Dead && slices.Equal(f.records(t, "tea", frozen), []string{"index tea", "sub erin"})
	})
	for _, v := range viewers {
		st := more(t, v, "alice", "video0", 100)
		if st.Streams != 2 || st.Stream != second {
			t.Errorf("%d sources", st.Streams)
		}
	}
	for _, v := range viewers[1:] {
		if toldOf(v, left(t, "alice")) {
			t.Error("alice was announced as gone")
		}
	}
	f.nodes[0].publish(t, "tea", "frank") // it serves again, others too
	for _, v := range viewers {
		plays(t, v, "frank", "video0")
	}
}

// A node that has lost Redis alone goes on, for others too, and is there again when it has found it.
func TestANodeLosesRedisAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	path := cable.New(t, strings.TrimPrefix(c.redis, "redis://"))
	lame := &cluster{redis: "redis://" + path.Addr, nats: c.nats}
	f := watchFleet(t, c)
	f.nodes = []*nodeProcess{lame.run(t, 0), c.run(t, 1)}
	alice := f.nodes[0].publish(t, "tea", "alice")
	v := f.nodes[1].subscribe(t, "tea", "bob")
	plays(t, v, "alice", "video0")
	path.Cut()
	await(t, "the lease to run out", 20*time.Second, func() bool { l, there := f.lease(t, "node-0"); return there && l.Dead })
	// Three rounds of the reaper see it so.
	<-time.After(7 * time.Second)
	if l, there := f.lease(t, "node-0"); !there || l.Reaper != "" {
		t.Errorf("the node is cleaned up after: %v, %+v", there, l)
	}
	if got := f.records(t, "tea", instanceOf(t, alice.Location())); !slices.Equal(got, []string{"index tea", "pub alice live"}) {
		t.Errorf("in Redis: %v", got)
	}
	path.Heal()
	await(t, "the lease", 10*time.Second, func() bool { l, there := f.lease(t, "node-0"); return there && !l.Dead })
	unbroken(t, v, "alice")
	f.nodes[0].publish(t, "tea", "frank")
	plays(t, v, "frank", "video0")
	if toldOf(v, away(t, "alice")) || toldOf(v, left(t, "alice")) {
		t.Errorf("heard %v", v.Log())
	}
}

// Redis is away for longer than any lease and comes back empty: nobody was there to die, and all are there again.
func TestRedisComesBackEmpty(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	c := &cluster{redis: srv.URL}
	for _, s := range testkit.NATSCluster(t, 2) {
		c.nats = append(c.nats, s.URL)
	}
	f := watchFleet(t, c)
	f.nodes = []*nodeProcess{c.run(t, 0), c.run(t, 1)}
	f.nodes[0].publish(t, "tea", "alice")
	f.nodes[1].publish(t, "tea", "carol")
	viewers := []*client.Subscriber{f.nodes[0].subscribe(t, "tea", "bob"), f.nodes[1].subscribe(t, "tea", "dan")}
	for _, v := range viewers {
		plays(t, v, "alice", "video0")
		plays(t, v, "carol", "video0")
	}
	srv.Stop()
	<-time.After(11 * time.Second)
	srv.Start()
	await(t, "everybody to be known again", 15*time.Second, func() bool {
		subs, err := f.store.Subscribers(t.Context(), roomtest.Name(t, "tea"))
		a, aThere := f.lease(t, "node-0")
		b, bThere := f.lease(t, "node-1")
		return err == nil && len(subs) == 2 && aThere && bThere && !a.Dead && !b.Dead &&
			f.publisherIn(t, "tea", "alice").State == room.Live && f.publisherIn(t, "tea", "carol").State == room.Live
	})
	for _, v := range viewers {
		for _, pub := range []string{"alice", "carol"} {
			unbroken(t, v, pub)
			if toldOf(v, away(t, pub)) || toldOf(v, left(t, pub)) {
				t.Errorf("heard %v", v.Log())
			}
		}
	}
}

// Survivors were wrong about a node: its publisher was announced as gone, its viewer's record removed, its lease ended. Both are back as
// soon as it learns of that, and the publisher's viewers see her again.
func TestANodeWasReapedInError(t *testing.T) {
	c := newCluster(t, 2)
	nodes := []*testNode{start(t, c.config(0)), start(t, c.config(1))}
	f, n := watchFleet(t, c), nodes[0]
	publish(t, n, "tea", "alice")
	subscribe(t, n, "tea", "erin")
	v := subscribe(t, nodes[1], "tea", "bob")
	plays(t, v, "alice", "video0")
	ctx, rm := t.Context(), roomtest.Name(t, "tea")
	there := []string{"index tea", "pub alice live", "sub erin"}
	if got := f.records(t, "tea", n.instance); !slices.Equal(got, there) {
		t.Fatalf("before: %v", got)
	}
	alice := f.publisherIn(t, "tea", "alice")
	if _, err := n.store.MarkAway(ctx, rm, alice.FullID, alice.Inc); err != nil {
		t.Fatal(err)
	}
	change, err := n.store.RemoveAway(ctx, rm, alice.FullID, alice.Inc)
	if err != nil {
		t.Fatal(err)
	}
	subs, err := f.store.Subscribers(ctx, rm)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subs {
		if s.Owner.Instance == n.instance {
			if err := f.store.RemoveSubscriber(ctx, rm, s.Session); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, _ := f.lease(t, "node-0")
	if ok, err := f.leases.Condemn(ctx, l.Instance, l.Epoch); err != nil || !ok {
		t.Fatal(ok, err)
	}
	from := len(v.Log())
	r, err := nodes[1].roster.Open(ctx, rm)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Tell(events.Left, change); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	hearsWithin(t, v, from, left(t, "alice"), began, 5*time.Second)
	hearsWithin(t, v, from, join(t, "alice"), began, 5*time.Second)
	await(t, "the records and the lease", 10*time.Second, func() bool {
		l, ok := f.lease(t, "node-0")
		return ok && !l.Dead && slices.Equal(f.records(t, "tea", n.instance), there)
	})
	t.Logf("all is back after %v", time.Since(began).Round(10*time.Millisecond))
	more(t, v, "alice", "video0", 20)
	more(t, v, "alice", "audio0", 20)
}

// A publisher that others announced as away, and that is not, says so at once.
func TestAPublisherIsAwayInError(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "bob")
	plays(t, v, "alice", "video0")
	from := len(v.Log())
	pubs, err := nodes[1].store.Publishers(t.Context(), roomtest.Name(t, "tea"))
	if err != nil || len(pubs) != 1 {
		t.Fatal(pubs, err)
	}
	change, err := nodes[1].store.MarkAway(t.Context(), roomtest.Name(t, "tea"), pubs[0].FullID, pubs[0].Inc)
	if err != nil {
		t.Fatal(err)
	}
	r, err := nodes[1].roster.Open(t.Context(), roomtest.Name(t, "tea"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Tell(events.Up, change); err != nil {
		t.Fatal(err)
	}
	hearsWithin(t, v, from, away(t, "alice"), time.Now(), 2*time.Second)
	hearsWithin(t, v, from, join(t, "alice"), time.Now(), 2*time.Second)
	unbroken(t, v, "alice")
}
