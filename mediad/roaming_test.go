package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/room"
	"weever/shared/testkit/guest"
	"weever/shared/testkit/netns"
)

// Clients change their place in the network: a phone leaves the house, a NAT forgets a port. The session stays, and media goes on within
// resumeLimit of the new path being there. The clients run on machines of their own, which is to say in network namespaces.
const resumeLimit = 3 * time.Second

// plainLimit is the same for a client that does nothing but check its path now and then, as all do: Chromium every 2.5 s.
const plainLimit = 4 * time.Second

// roaming is two nodes that clients on other machines reach. Those connect to the first, their counterparts on this machine to the
// second.
type roaming struct {
	net   *netns.Network
	nodes [2]*testNode
}

func newRoaming(t *testing.T) *roaming {
	t.Helper()
	r := &roaming{net: netns.New(t)}
	c := newCluster(t, 2)
	for i := range r.nodes {
		cfg := c.siteConfig(i)
		cfg.Public.Host = r.net.Server
		cfg.Media = MediaConfig{Interfaces: []string{r.net.Interface}}
		r.nodes[i] = start(t, cfg)
	}
	return r
}

// counterpart configures a client on this machine.
func (r *roaming) counterpart(rm, id string) client.Config {
	cfg := clientConfig(r.nodes[1], rm, id)
	cfg.LoopbackOnly = false
	return cfg
}

// watch is a viewer on this machine.
func (r *roaming) watch(t *testing.T, rm string) *client.Subscriber {
	t.Helper()
	return subscribeOffering(t, r.counterpart(rm, "watcher"), 1, 1)
}

// send is a publisher on this machine.
func (r *roaming) send(t *testing.T, rm string) {
	t.Helper()
	p, err := client.Publish(within(t, 10*time.Second), r.counterpart(rm, "sender"), client.Microphone(), client.Camera(synth.VP8, synth.Burst))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
}

// sessions lists who is in a room, as all nodes know it: full id, session, incarnation, state.
func (r *roaming) sessions(t *testing.T, rm string) (out []string) {
	t.Helper()
	name, err := room.ParseName(rm)
	if err != nil {
		t.Fatal(err)
	}
	pubs, err := r.nodes[0].store.Publishers(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	subs, err := r.nodes[0].store.Subscribers(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pubs {
		out = append(out, fmt.Sprint(p.FullID, p.Session, p.Inc, p.State))
	}
	for _, s := range subs {
		out = append(out, fmt.Sprint(s.FullID, s.Session, s.Inc))
	}
	slices.Sort(out)
	return out
}

// unchanged insists on the same sessions as before, all of them live again.
func (r *roaming) unchanged(t *testing.T, rm string, before []string) {
	t.Helper()
	await(t, "the sessions that were there before, and no others", 5*time.Second, func() bool { return slices.Equal(r.sessions(t, rm), before) })
}

// exists insists that a session's URL is valid at both nodes.
func (r *roaming) exists(t *testing.T, location string) {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range r.nodes {
		if got := do(t, "GET", n.PublicURL()+u.Path, "", nil); got.status != http.StatusNoContent {
			t.Errorf("GET of the session at %s: %+v", n.cfg.Node.ID, got)
		}
	}
}

// back reports when media was back after the path had changed at a time.
func back(t *testing.T, who string, limit time.Duration, changed, first time.Time) {
	t.Helper()
	gap := first.Sub(changed)
	t.Logf("%s: media is back after %d ms", who, gap.Milliseconds())
	if gap > limit {
		t.Errorf("%s: media is back after %v, want %v", who, gap, limit)
	}
}

// stayed insists that a viewer was never told that somebody left.
func stayed(t *testing.T, v *client.Subscriber) {
	t.Helper()
	for _, m := range v.Log() {
		if left, ok := m.(control.PubLeft); ok {
			t.Errorf("PUB_LEFT %v", left.Pub)
		}
	}
}

// arrives waits for a packet of a track that came after a time.
func arrives(t *testing.T, v *client.Subscriber, pub, track string, after time.Time) time.Time {
	t.Helper()
	at, err := arrivalAfter(t.Context(), v, Awaited{pub, track, after})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// inFlight is how long packets of the old path may still arrive.
const inFlight = 20 * time.Millisecond

// Clients written in Go move to another network and restart ICE by a PATCH, to their own node or to another.
func TestRoaming(t *testing.T) {
	r := newRoaming(t)
	for i, home := range []string{"at its node", "at another node"} {
		t.Run("publisher/PATCH "+home, func(t *testing.T) {
			rm := fmt.Sprintf("pub%d", i)
			m := r.net.Machine()
			link := m.Plug()
			in := guest.Start(t, m, m.Name, insideEnds)
			location := guest.Call[string](in, "Publish", Visit{r.nodes[0].PublicURL(), r.nodes[i].PublicURL(), rm, "mover"})
			v := r.watch(t, rm)
			plays(t, v, "mover", "video0")
			before := r.sessions(t, rm)
			r.exists(t, location)

			link.Unplug()
			m.Plug()
			up := time.Now()
			guest.Call[guest.Nothing](in, "Restart", guest.Nothing{})
			back(t, "publisher, PATCH "+home, resumeLimit, up, arrives(t, v, "mover", "audio0", up))
			plays(t, v, "mover", "video0")
			guest.Call[guest.Nothing](in, "Ping", "moved")
			r.exists(t, location)
			r.unchanged(t, rm, before)
			stayed(t, v)
		})
		t.Run("viewer/PATCH "+home, func(t *testing.T) {
			rm := fmt.Sprintf("sub%d", i)
			r.send(t, rm)
			m := r.net.Machine()
			link := m.Plug()
			in := guest.Start(t, m, m.Name, insideEnds)
			location := guest.Call[string](in, "Subscribe", Visit{r.nodes[0].PublicURL(), r.nodes[i].PublicURL(), rm, "mover"})
			guest.Call[time.Time](in, "Arrival", Awaited{Pub: "sender", Track: "video0"})
			before := r.sessions(t, rm)
			r.exists(t, location)

			link.Unplug()
			m.Plug()
			up := time.Now()
			guest.Call[guest.Nothing](in, "Restart", guest.Nothing{})
			back(t, "viewer, PATCH "+home, resumeLimit, up, guest.Call[time.Time](in, "Arrival", Awaited{"sender", "audio0", up}))
			guest.Call[time.Time](in, "Arrival", Awaited{"sender", "video0", up})
			guest.Call[guest.Nothing](in, "Ping", "moved")
			r.exists(t, location)
			r.unchanged(t, rm, before)
		})
	}
}

// A NAT gives a client other ports. The client does not notice, sends no PATCH, and goes on checking its path every 2 s, as pion does.
func TestRebinding(t *testing.T) {
	r := newRoaming(t)
	t.Run("publisher", func(t *testing.T) {
		m := r.net.Machine()
		m.Plug()
		m.Rebind() // the NAT is there from the beginning
		in := guest.Start(t, m, m.Name, insideEnds)
		location := guest.Call[string](in, "Publish", Visit{r.nodes[0].PublicURL(), r.nodes[0].PublicURL(), "pub", "mover"})
		v := r.watch(t, "pub")
		plays(t, v, "mover", "video0")
		before := r.sessions(t, "pub")

		m.Rebind()
		at := time.Now()
		back(t, "publisher behind a NAT", plainLimit, at, arrives(t, v, "mover", "audio0", at.Add(inFlight)))
		plays(t, v, "mover", "video0")
		guest.Call[guest.Nothing](in, "Ping", "rebound")
		r.exists(t, location)
		r.unchanged(t, "pub", before)
		stayed(t, v)
	})
	t.Run("viewer", func(t *testing.T) {
		r.send(t, "sub")
		m := r.net.Machine()
		m.Plug()
		m.Rebind() // the NAT is there from the beginning
		in := guest.Start(t, m, m.Name, insideEnds)
		location := guest.Call[string](in, "Subscribe", Visit{r.nodes[0].PublicURL(), r.nodes[0].PublicURL(), "sub", "mover"})
		for _, track := range []string{"audio0", "video0"} {
			guest.Call[time.Time](in, "Arrival", Awaited{Pub: "sender", Track: track})
		}
		before := r.sessions(t, "sub")

		for range 2 {
			m.Rebind()
			at := time.Now()
			back(t, "viewer behind a NAT", plainLimit, at, guest.Call[time.Time](in, "Arrival", Awaited{"sender", "audio0", at.Add(inFlight)}))
		}
		guest.Call[guest.Nothing](in, "Ping", "rebound")
		r.exists(t, location)
		r.unchanged(t, "sub", before)
	})
}
