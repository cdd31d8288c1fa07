package main

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/room/roomtest"
)

func TestPublishHereWatchThere(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	for _, n := range nodes {
		v := subscribe(t, n, "tea", "bob")
		for _, track := range []string{"audio0", "video0"} {
			if st := plays(t, v, "alice", track); st.Backwards != 0 || st.SSRCs != 1 {
				t.Errorf("%s at %s: %+v", track, n.cfg.Node.ID, st)
			}
		}
		hears(t, v, control.PubJoin{Pub: roomtest.FullID(t, "alice")})
	}
}

func TestViewerThatWasFirst(t *testing.T) {
	nodes := startNodes(t, 2)
	v := subscribe(t, nodes[1], "tea", "bob")
	p := publish(t, nodes[0], "tea", "alice+1")
	plays(t, v, "alice+1", "video0")
	plays(t, v, "alice+1", "audio0")
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	hears(t, v, control.PubLeft{Pub: roomtest.FullID(t, "alice+1")})
	await(t, "the sections to be parked", 5*time.Second, func() bool {
		for _, s := range v.Sections() {
			if s.Direction == "sendonly" {
				return false
			}
		}
		return true
	})
}

// Each orderly end is seen at once by a viewer elsewhere: well before the silence that makes a publisher away.
func TestOrderlyEndsAreSeenAtOnce(t *testing.T) {
	nodes := startNodes(t, 2)
	for name, leave := range map[string]func(*client.Publisher) error{
		"delete": func(p *client.Publisher) error { return p.Close(within(t, 5*time.Second)) },
		"stop":   func(p *client.Publisher) error { return p.Stop(within(t, 5*time.Second)) },
		"hangup": func(p *client.Publisher) error { p.Hangup(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			v := subscribe(t, nodes[1], name, "bob")
			p := publish(t, nodes[0], name, "alice")
			plays(t, v, "alice", "audio0")
			began := time.Now()
			if err := leave(p); err != nil {
				t.Fatal(err)
			}
			hears(t, v, control.PubLeft{Pub: roomtest.FullID(t, "alice")})
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("PUB_LEFT after %v", took)
			}
		})
	}
}

// A publisher that vanishes is away after its silence, and its return to the same session is heard.
func TestSilenceAndReturn(t *testing.T) {
	nodes := startNodes(t, 2)
	v := subscribe(t, nodes[1], "tea", "bob")
	p := publish(t, nodes[0], "tea", "alice")
	plays(t, v, "alice", "video0")
	rounds := v.Rounds()
	p.SetNetwork(false)
	hears(t, v, control.PubAway{Pub: roomtest.FullID(t, "alice")})
	from := len(v.Log())
	p.SetNetwork(true)
	if _, _, err := v.AwaitFrom(within(t, 10*time.Second), from, func(m control.Message) bool {
		return m == control.PubJoin{Pub: roomtest.FullID(t, "alice")}
	}); err != nil {
		t.Fatalf("no return: %v; heard %+v", err, v.Log())
	}
	more(t, v, "alice", "video0", 20)
	if v.Rounds() != rounds {
		t.Errorf("%d rounds for a silence", v.Rounds()-rounds)
	}
}

func TestThreeByThreeOverThreeNodes(t *testing.T) {
	nodes := startNodes(t, 3)
	// Each connection makes goroutines in the libraries on its first use; one round of everything sets the baseline.
	round := func() {
		var subs []*client.Subscriber
		var pubs []*client.Publisher
		for i, n := range nodes {
			subs = append(subs, subscribe(t, n, "tea", "viewer"+strconv.Itoa(i)))
			pubs = append(pubs, publish(t, n, "tea", "pub"+strconv.Itoa(i)))
		}
		for _, s := range subs {
			for i := range pubs {
				plays(t, s, "pub"+strconv.Itoa(i), "video0")
				plays(t, s, "pub"+strconv.Itoa(i), "audio0")
			}
		}
		for i := range nodes {
			if err := subs[i].Close(within(t, 5*time.Second)); err != nil {
				t.Error(err)
			}
			if err := pubs[i].Close(within(t, 5*time.Second)); err != nil {
				t.Error(err)
			}
		}
		for _, n := range nodes {
			await(t, "the sessions to end", 5*time.Second, func() bool { p, v := n.sessions.Counts(); return p+v == 0 })
			await(t, "the relay to be idle", 5*time.Second, func() bool {
				st := n.relay.Stats()
				return len(st.Tracks)+st.Leases+st.Subscribed == 0
			})
		}
	}
	round()
	base := settled()
	round()
	settle(t, base+base/20)
	if pubs, err := nodes[0].store.Publishers(t.Context(), roomtest.Name(t, "tea")); err != nil || len(pubs) != 0 {
		t.Errorf("records left: %v, %v", pubs, err)
	}
}

// A room whose members sit on one node puts no media on the bus.
func TestNoMediaOnTheBusForOneNode(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	for i := range 3 {
		v := subscribe(t, nodes[0], "tea", "viewer"+strconv.Itoa(i))
		plays(t, v, "alice", "video0")
		more(t, v, "alice", "audio0", 20)
	}
	for _, n := range nodes {
		if st := n.relay.Stats(); st.MessagesOut+st.MessagesIn != 0 {
			t.Errorf("%s: %+v", n.cfg.Node.ID, st)
		}
	}
}

// However many viewers a node has, it takes a track off the bus once.
func TestOneSubscriptionForManyViewers(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	for i := range 5 {
		plays(t, subscribe(t, nodes[1], "tea", "viewer"+strconv.Itoa(i)), "alice", "video0")
	}
	if st := nodes[1].relay.Stats(); st.Subscribed != 2 {
		t.Errorf("%d subscriptions, want 2: audio0 and video0", st.Subscribed)
	}
}

func TestThreeCodecsInOneRoom(t *testing.T) {
	nodes := startNodes(t, 2)
	codecs := map[string]synth.Codec{"alice": synth.VP8, "bob": synth.H264, "carol": synth.AV1}
	for id, codec := range codecs {
		publish(t, nodes[0], "tea", id, client.Camera(codec, synth.Burst))
	}
	for name, offered := range map[string]int{"offering a section": 1, "data channel only": 0} {
		v := subscribeOffering(t, clientConfig(nodes[1], "tea", "viewer"), offered, offered)
		for id, codec := range codecs {
			if st := plays(t, v, id, "video0"); st.Codec != string(codec) {
				t.Errorf("%s: %s arrives as %s, want %s", name, id, st.Codec, codec)
			}
		}
	}
}

// Sections are parked and reused: SDP does not grow with churn.
func TestSectionsAreReused(t *testing.T) {
	nodes := startNodes(t, 2)
	v := subscribe(t, nodes[1], "tea", "viewer")
	for i := range 12 {
		id := "pub" + strconv.Itoa(i)
		p := publish(t, nodes[i%2], "tea", id)
		plays(t, v, id, "audio0")
		plays(t, v, id, "video0")
		if err := p.Close(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(v.Sections()); n > 6 {
		t.Errorf("%d sections after 12 publishers one after the other: %+v", n, v.Sections())
	}
}

// The same full id POSTed at another node takes over without a round at the viewers, whose streams go on.
func TestTakeoverAtAnotherNode(t *testing.T) {
	nodes := startNodes(t, 3)
	first := publish(t, nodes[0], "tea", "alice+cam")
	viewers := []*client.Subscriber{subscribe(t, nodes[0], "tea", "v0"), subscribe(t, nodes[1], "tea", "v1"), subscribe(t, nodes[2], "tea", "v2")}
	rounds := make([]int, len(viewers))
	for i, v := range viewers {
		plays(t, v, "alice+cam", "video0")
		plays(t, v, "alice+cam", "audio0")
		rounds[i] = v.Rounds()
	}
	publish(t, nodes[1], "tea", "alice+cam")
	select {
	case <-first.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the earlier session was not closed")
	}
	for i, v := range viewers {
		for _, track := range []string{"video0", "audio0"} {
			st, err := v.AwaitTrack(within(t, 10*time.Second), "alice+cam", track, func(st arrival.Stats) bool { return st.Streams == 2 })
			if err != nil {
				t.Fatalf("viewer %d, %s: %v: %+v", i, track, err, st)
			}
			if st = more(t, v, "alice+cam", track, 20); st.SSRCs != 1 || st.Backwards != 0 {
				t.Errorf("viewer %d, %s: not one stream: %+v", i, track, st)
			}
		}
		if v.Rounds() != rounds[i] {
			t.Errorf("viewer %d: %d rounds for a takeover", i, v.Rounds()-rounds[i])
		}
		for _, m := range v.Log() {
			if _, ok := m.(control.PubLeft); ok {
				t.Errorf("viewer %d was told that the publisher left", i)
			}
		}
	}
}

// The original clients: an offer with a data channel alone, tracks by SDP_OFFER over it.
func TestDataChannelOnlyOffer(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice+early")
	v := subscribeOffering(t, clientConfig(nodes[1], "tea", "bob+x7"), 0, 0)
	plays(t, v, "alice+early", "video0")
	publish(t, nodes[1], "tea", "carol+late")
	plays(t, v, "carol+late", "video0")
	plays(t, v, "alice+early", "audio0")
}

// Nobody is sent their own camera or screen.
func TestOwnStreamsAreNotSent(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice+1")
	publish(t, nodes[0], "tea", "alice-screen+1")
	publish(t, nodes[0], "tea", "bob")
	v := subscribe(t, nodes[1], "tea", "alice+2")
	plays(t, v, "bob", "video0")
	for _, m := range v.Log() {
		if j, ok := m.(control.PubJoin); ok && j.Pub.ID().String() == "alice" {
			t.Errorf("told of %s", j.Pub)
		}
	}
	for _, st := range v.Tracks() {
		if st.Pub != "bob" {
			t.Errorf("got a track of %s", st.Pub)
		}
	}
}

func TestSubAndUnsub(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	publish(t, nodes[0], "tea", "bob")
	cfg := clientConfig(nodes[1], "tea", "viewer")
	cfg.Query = map[string][]string{"sub": {"manual"}}
	v := subscribeOffering(t, cfg, 1, 1)
	hears(t, v, control.PubJoin{Pub: roomtest.FullID(t, "bob")})
	if err := v.Sub(roomtest.FullID(t, "bob"), "video0"); err != nil {
		t.Fatal(err)
	}
	plays(t, v, "bob", "video0")
	if got := v.Tracks(); len(got) != 1 {
		t.Errorf("more than was asked for: %+v", got)
	}
	if err := v.Unsub(roomtest.FullID(t, "bob")); err != nil {
		t.Fatal(err)
	}
	await(t, "the track to go", 5*time.Second, func() bool { st, _ := v.Track("bob", "video0"); return !st.Active })
	if err := v.Mode(control.ModeAuto); err != nil {
		t.Fatal(err)
	}
	plays(t, v, "alice", "video0")
}

func TestPlainWHEP(t *testing.T) {
	nodes := startNodes(t, 2)
	cfg := clientConfig(nodes[1], "tea", "player")
	cfg.NoControl = true
	var refused *client.StatusError
	if _, err := client.Subscribe(within(t, 5*time.Second), cfg, 1, 1); !asStatus(err, &refused) || refused.Status != 409 || refused.RetryAfter == 0 {
		t.Errorf("with nobody live: %v, want 409 with Retry-After", err)
	}
	first := publish(t, nodes[0], "tea", "alice+1")
	publish(t, nodes[0], "tea", "bob")
	v := subscribeOffering(t, cfg, 1, 1)
	plays(t, v, "alice+1", "video0")
	// The publisher reloads her page: the player goes on with her, not with bob, and without a word.
	first.Hangup()
	publish(t, nodes[1], "tea", "alice+2")
	st, err := v.AwaitTrack(within(t, 10*time.Second), "alice+1", "video0", func(st arrival.Stats) bool { return st.Streams == 2 })
	if err != nil || st.SSRCs != 1 {
		t.Errorf("after the reload: %+v, %v", st, err)
	}
}

// Any node answers for any session: PATCH and DELETE reach the owner wherever they are sent, and a dead owner is a 404 at once.
func TestAnyNodeAnswersForAnySession(t *testing.T) {
	nodes := startNodes(t, 3)
	publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	u, err := url.Parse(v.Location())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := nodes[2].PublicURL() + u.Path
	frag := map[string]string{"Content-Type": "application/trickle-ice-sdpfrag"}
	for name, s := range map[string]struct {
		method, body string
		header       map[string]string
		status       int
	}{
		"get":     {"GET", "", nil, 204},
		"trickle": {"PATCH", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 9 typ host\r\n", frag, 204},
		"garbage": {"PATCH", "hello", frag, 400},
	} {
		if r := do(t, s.method, elsewhere, s.body, s.header); r.status != s.status {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := do(t, "DELETE", elsewhere, "", nil); r.status != 200 {
		t.Errorf("DELETE: %+v", r)
	}
	select {
	case <-v.Done():
	case <-time.After(5 * time.Second):
		t.Error("the session goes on")
	}
	nodes[1].stop()
	began := time.Now()
	problem(t, do(t, "DELETE", elsewhere, "", nil), 404)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("404 after %v", took)
	}
}
