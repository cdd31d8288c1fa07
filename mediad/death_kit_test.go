package main

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/mediad/internal/session"
	"weever/shared/lease"
	"weever/shared/redisdb"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/store"
)

// This file is three nodes with a process each, of which one is to fall, and what a test sees of them: their clients and Redis.

// fleet is a cluster of processes; its rooms are read as a survivor reads them.
type fleet struct {
	*cluster
	nodes  []*nodeProcess
	store  *store.Store
	leases *lease.Leases
}

// launchFleet runs three nodes.
func launchFleet(t *testing.T, c *cluster, flags ...string) *fleet {
	t.Helper()
	f := watchFleet(t, c)
	for i := range 3 {
		f.nodes = append(f.nodes, c.run(t, i, flags...))
	}
	return f
}

func watchFleet(t *testing.T, c *cluster) *fleet {
	t.Helper()
	db, err := redisdb.Open(c.redis, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &fleet{cluster: c, store: store.New(db, nil), leases: lease.New(db)}
}

func (n *nodeProcess) config(rm, id string) client.Config {
	return client.Config{URL: "http://" + n.public, Room: rm, ID: id, HTTP: insecure(), LoopbackOnly: true}
}

func (n *nodeProcess) publish(t *testing.T, rm, id string) *client.Publisher {
	t.Helper()
	p, err := client.Publish(within(t, 15*time.Second), n.config(rm, id), client.Microphone(), client.Camera(synth.VP8, synth.Burst))
	if err != nil {
		t.Fatalf("%s publishing: %v", id, err)
	}
	t.Cleanup(p.Hangup)
	return p
}

func (n *nodeProcess) subscribe(t *testing.T, rm, id string) *client.Subscriber {
	t.Helper()
	return subscribeOffering(t, n.config(rm, id), 2, 2)
}

func (n *nodeProcess) kill(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGKILL)
	<-n.over
}

// hearsWithin waits for a control message and says how long after began it came.
func hearsWithin(t *testing.T, s *client.Subscriber, from int, what control.Message, began time.Time, limit time.Duration) {
	t.Helper()
	_, _, err := s.AwaitFrom(within(t, time.Until(began.Add(limit))), from, func(m control.Message) bool { return m == what })
	if err != nil {
		t.Fatalf("%#v did not come within %v: %v; heard %+v", what, limit, err, s.Log())
	}
	t.Logf("%#v after %v", what, time.Since(began).Round(10*time.Millisecond))
}

// toldOf reports whether a control message has come.
func toldOf(s *client.Subscriber, what control.Message) bool {
	return slices.Contains(s.Log(), what)
}

// lease is the present lease of a node, and whether there is one.
func (f *fleet) lease(t *testing.T, node string) (lease.Lease, bool) {
	t.Helper()
	all, err := f.leases.List(context.WithoutCancel(t.Context()))
	if err != nil {
		return lease.Lease{}, false // Redis is away
	}
	n := slices.IndexFunc(all, func(l lease.Lease) bool { return l.Node == node })
	if n < 0 {
		return lease.Lease{}, false
	}
	return all[n], true
}

// records lists what Redis has of a process: publishers by id and state, subscribers, entries of its index.
func (f *fleet) records(t *testing.T, rm, instance string) []string {
	t.Helper()
	ctx, name := t.Context(), roomtest.Name(t, rm)
	pubs, err := f.store.Publishers(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	subs, err := f.store.Subscribers(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := f.store.RoomsOf(ctx, instance)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range pubs {
		if p.Owner.Instance == instance {
			all = append(all, "pub "+p.FullID.String()+" "+string(p.State))
		}
	}
	for _, s := range subs {
		if s.Owner.Instance == instance {
			all = append(all, "sub "+s.FullID.String())
		}
	}
	for _, r := range rooms {
		all = append(all, "index "+r.String())
	}
	slices.Sort(all)
	return all
}

// instanceOf is the process that serves a session.
func instanceOf(t *testing.T, location string) string {
	t.Helper()
	id := location[strings.LastIndex(location, "/")+1:]
	instance, ok := session.OwnerOf(id)
	if !ok {
		t.Fatal("the session's id names no owner")
	}
	return instance
}

// unbroken checks that a publisher's tracks came to a viewer without a hole since they began, and still come.
func unbroken(t *testing.T, s *client.Subscriber, pub string) {
	t.Helper()
	for _, track := range []string{"audio0", "video0"} {
		more(t, s, pub, track, 20)
		if st, _ := s.Track(pub, track); st.Missing != 0 || st.Lost != 0 || st.Streams != 1 {
			t.Errorf("%s of %s: %d missing, %d lost, %d sources", track, pub, st.Missing, st.Lost, st.Streams)
		}
	}
}

// stamp is the source of the newest packet of a publisher's camera, and how many sources there have been.
func stamp(t *testing.T, s *client.Subscriber, pub string) (arrival.Stats, uint32) {
	t.Helper()
	st, _ := s.Track(pub, "video0")
	return st, st.Stream
}

func away(t *testing.T, id string) control.Message {
	return control.PubAway{Pub: roomtest.FullID(t, id)}
}

func left(t *testing.T, id string) control.Message {
	return control.PubLeft{Pub: roomtest.FullID(t, id)}
}

func join(t *testing.T, id string) control.Message {
	return control.PubJoin{Pub: roomtest.FullID(t, id)}
}

// publisherIn is the record of a publisher; its state is empty when there is none.
func (f *fleet) publisherIn(t *testing.T, rm, id string) room.Publisher {
	t.Helper()
	pubs, _ := f.store.Publishers(context.WithoutCancel(t.Context()), roomtest.Name(t, rm)) // Redis may be away
	for _, p := range pubs {
		if p.FullID.String() == id {
			return p
		}
	}
	return room.Publisher{}
}
