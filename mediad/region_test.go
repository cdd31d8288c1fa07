package main

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/nodecall"
	"weever/shared/logtest"
	"weever/shared/testkit"
)

// The bus of one region with its accounts and TLS lets nodes do all they do, and nobody more.
func TestShippedBusOfOneRegion(t *testing.T) {
	b := startBus(t, 3, "eu")
	c := &cluster{redis: testkit.Redis(t)}
	var nodes []*testNode
	var logs []*logtest.Buffer
	for i := range 3 {
		logs = append(logs, &logtest.Buffer{})
		nodes = append(nodes, startLogging(t, b.config(c, i, "eu", i), logs[i]))
	}
	p := publish(t, nodes[0], "tea", "alice", client.Microphone(), simulcast())
	v := subscribe(t, nodes[1], "tea", "bob")
	plays(t, v, "alice", "video0")
	plays(t, v, "alice", "audio0")
	u, err := url.Parse(p.Location())
	if err != nil {
		t.Fatal(err)
	}
	if r := do(t, "DELETE", nodes[2].PublicURL()+u.Path, "", nil); r.status != 200 {
		t.Errorf("a node call: %+v", r)
	}
	hears(t, v, left(t, "alice"))
	for i, l := range logs {
		if text := strings.ToLower(l.String()); strings.Contains(text, "violation") || strings.Contains(text, "level=warn") {
			t.Errorf("node %d: %s", i, text)
		}
	}
	strangers(t, b)
}

// strangers tries what nobody may.
func strangers(t *testing.T, b *bus) {
	at := b.regions["eu"].servers[0].Addr().String()
	ca := nats.RootCAs(b.ca)
	for name, c := range map[string]struct {
		url  string
		opts []nats.Option
	}{
		"nobody":             {"tls://" + at, []nats.Option{ca}},
		"the wrong password": {"tls://mediad:54321@" + at, []nats.Option{ca}},
		"another authority":  {"tls://mediad:" + busPassword + "@" + at, nil},
	} {
		if nc, err := nats.Connect(c.url, c.opts...); err == nil {
			nc.Close()
			t.Errorf("%s may connect", name)
		}
	}
	var mu sync.Mutex
	var refused []string
	nc, err := nats.Connect(b.regions["eu"].urls[0], ca, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, err.Error())
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if nc.MaxPayload() != 512<<10 {
		t.Errorf("messages may have %d bytes", nc.MaxPayload())
	}
	for _, subject := range []string{">", "other.v1.>", "$SYS.>", "weever.v2.>"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(strings.ReplaceAll(subject, ">", "x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.SubscribeSync("weever.v1.room.tea"); err != nil {
		t.Fatal(err)
	}
	await(t, "refusals", 5*time.Second, func() bool { mu.Lock(); defer mu.Unlock(); return len(refused) >= 8 })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(refused) != 8 {
		t.Errorf("refused: %q", refused)
	}
}

// tally is the counters of the two-region test.
type tally struct {
	at       time.Time
	sent     uint64            // RTP packets of the publisher
	out      uint64            // media messages of its node
	outBytes uint64            // their bytes
	in       map[string]uint64 // media messages that came to a node
	gateway  crossing
}

// meter reads them.
type meter struct {
	bus   *bus
	pub   *client.Publisher
	owner *testNode // of the publisher
	nodes []*testNode
}

func (m *meter) count(t *testing.T) (now tally) {
	t.Helper()
	now = tally{at: time.Now(), in: map[string]uint64{}, gateway: m.bus.crossed(t, "eu", "us")}
	for _, s := range m.pub.Sent() {
		now.sent += s.Packets
	}
	st := m.owner.relay.Stats()
	now.out, now.outBytes = st.MessagesOut, st.BytesOut
	for _, n := range m.nodes {
		now.in[n.cfg.Node.ID] = n.relay.Stats().MessagesIn
	}
	return now
}

// during counts for a while and prints what it counted.
func (m *meter) during(t *testing.T, what string) (d tally) {
	t.Helper()
	was := m.count(t)
	<-time.After(3 * time.Second)
	d = m.count(t)
	d.sent, d.out, d.outBytes = d.sent-was.sent, d.out-was.out, d.outBytes-was.outBytes
	for n := range d.in {
		d.in[n] -= was.in[n]
	}
	d.gateway.messages -= was.gateway.messages
	d.gateway.bytes -= was.gateway.bytes
	t.Logf("%s, %v: %d RTP packets in, %d media messages (%d bytes) out of eu-0, %d messages (%d bytes) over the gateways to us; received %v",
		what, d.at.Sub(was.at).Round(10*time.Millisecond), d.sent, d.out, d.outBytes, d.gateway.messages, d.gateway.bytes, d.in)
	return d
}

// chatter is at most how many messages that are not media cross while it is counted.
const chatter = 40

// once checks that what left the owner crossed once, and came to these nodes.
func (d tally) once(t *testing.T, nodes ...string) {
	t.Helper()
	if d.out == 0 || d.gateway.messages < d.out*9/10 || d.gateway.messages > d.out*11/10+chatter ||
		d.gateway.bytes < d.outBytes*9/10 || d.gateway.bytes > d.outBytes*5/4 {
		t.Errorf("%d messages for %d over the gateways", d.gateway.messages, d.out)
	}
	for _, n := range nodes {
		if d.in[n] < d.out*8/10 {
			t.Errorf("%s received %d of %d", n, d.in[n], d.out)
		}
	}
}

// Two regions with two servers and two nodes each. Media crosses between them once per track, or layer, that somebody there watches,
// however many do, on however many nodes; and only while they do. The link is cut and healed: nobody is taken for gone.
func TestTwoRegions(t *testing.T) {
	b := startBus(t, 2, "eu", "us")
	c := &cluster{redis: testkit.Redis(t)}
	eu := []*testNode{start(t, b.config(c, 0, "eu", 0)), start(t, b.config(c, 1, "eu", 1))}
	us := []*testNode{start(t, b.config(c, 2, "us", 0)), start(t, b.config(c, 3, "us", 1))}
	p := publish(t, eu[0], "tea", "alice", client.Microphone(), client.Camera(synth.VP8, synth.Burst))
	if modes := b.modes(t, "eu", "us"); !slices.Equal(modes, []string{"Interest-Only"}) {
		t.Errorf("modes of the gateways: %v", modes)
	}
	m := &meter{b, p, eu[0], slices.Concat(eu, us)}
	local := subscribeOffering(t, clientConfig(eu[1], "tea", "local"), 2, 2)
	plays(t, local, "alice", "video0")
	idle := m.during(t, "a viewer in eu alone")
	if idle.out == 0 || idle.in["eu-1"] == 0 || idle.gateway.messages > chatter {
		t.Error("media crosses that nobody there watches")
	}

	var first, second []*client.Subscriber
	for _, id := range []string{"a", "b", "c"} {
		first = append(first, subscribe(t, us[0], "tea", "first-"+id))
		second = append(second, subscribe(t, us[1], "tea", "second-"+id))
	}
	all := slices.Concat(first, second)
	for _, v := range all {
		plays(t, v, "alice", "video0")
		plays(t, v, "alice", "audio0")
	}
	m.during(t, "six viewers on two nodes in us").once(t, "us-2", "us-3", "eu-1")
	for _, v := range second {
		if err := v.Close(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	m.during(t, "three on one of them").once(t, "us-2", "eu-1")
	for _, v := range first {
		if err := v.Close(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if d := m.during(t, "nobody in us"); d.gateway.messages > chatter || d.in["us-2"] > 2 {
		t.Error("media crosses that nobody there watches any more")
	}

	linkIsCut(t, b, eu, us, local)
}

// Each layer crosses once, too, and only those that are watched: players on two nodes choose the same one, then one of them another.
func TestLayersCrossOnce(t *testing.T) {
	b := startBus(t, 2, "eu", "us")
	c := &cluster{redis: testkit.Redis(t)}
	eu := start(t, b.config(c, 0, "eu", 0))
	us := []*testNode{start(t, b.config(c, 1, "us", 0)), start(t, b.config(c, 2, "us", 1))}
	p := publish(t, eu, "tea", "alice", client.Microphone(), simulcast())
	m := &meter{b, p, eu, append(us, eu)}
	var players []*client.Subscriber
	choose := func(i int, rid string) {
		t.Helper()
		if r := do(t, "POST", at(t, us[i], players[i], "/layer"), `{"rid":"`+rid+`"}`, jsonHeader); r.status != 200 {
			t.Fatalf("%+v", r)
		}
	}
	for i, n := range us {
		players = append(players, startPlayer(t, n, "tea", "player"+n.cfg.Node.ID, "alice"))
		plays(t, players[i], "alice", "video0")
		choose(i, "l")
	}
	fetched := func(streams int) {
		t.Helper()
		await(t, "the layers to be fetched", 10*time.Second, func() bool {
			return us[0].relay.Stats().Subscribed == 2 && us[1].relay.Stats().Subscribed == 2 && eu.relay.Stats().Leases == 4 && sending(b, streams)
		})
	}
	fetched(2)
	low := m.during(t, "two players of the low layer")
	low.once(t, "us-1", "us-2")
	choose(1, "h")
	fetched(3)
	both := m.during(t, "one of them of the high layer")
	both.once(t)
	if both.gateway.bytes < low.gateway.bytes*3/2 {
		t.Error("the high layer does not cross")
	}
}

// sending reports whether so many media streams have listeners in us.
func sending(b *bus, streams int) bool {
	subjects := map[string]bool{}
	for _, s := range b.regions["us"].servers {
		z, err := s.Subsz(&server.SubszOptions{Subscriptions: true, Test: "", Limit: 10_000})
		if err != nil {
			return false
		}
		for _, sub := range z.Subs {
			if strings.HasPrefix(sub.Subject, "weever.v1.rtp.") {
				subjects[sub.Subject] = true
			}
		}
	}
	return len(subjects) == streams
}

// linkIsCut cuts the link between the regions for longer than any lease, while people here and there watch each other.
func linkIsCut(t *testing.T, b *bus, eu, us []*testNode, local *client.Subscriber) {
	publish(t, us[1], "tea", "carol")
	there, back := subscribeOffering(t, clientConfig(us[0], "tea", "bob"), 2, 2), subscribeOffering(t, clientConfig(eu[1], "tea", "dan"), 2, 2)
	viewers := []*client.Subscriber{there, back, local}
	for _, v := range viewers {
		plays(t, v, "alice", "video0")
		plays(t, v, "carol", "video0")
	}
	ping := func() (time.Duration, error) {
		began := time.Now()
		err := eu[0].calls.Ping(within(t, 5*time.Second), us[0].instance)
		return time.Since(began).Round(100 * time.Microsecond), err
	}
	took, err := ping()
	if err != nil {
		t.Errorf("a call to another region: %v", err)
	}
	began := time.Now()
	if err := eu[0].calls.Ping(within(t, 5*time.Second), "0123456789abcdef"); !errors.Is(err, nodecall.ErrNoNode) {
		t.Errorf("a call to nobody: %v", err)
	}
	t.Logf("a call to another region took %v; that there is nobody, in any region, was known after %v", took, time.Since(began).Round(100*time.Microsecond))
	b.cut(t)
	cut := time.Now()
	if took, err := ping(); !errors.Is(err, nodecall.ErrNoNode) {
		t.Errorf("a call over the link that is cut: %v after %v", err, took)
	}
	problem(t, do(t, "GET", at(t, eu[0], there, ""), "", nil), 404)
	before, _ := there.Track("alice", "video0")
	<-time.After(13 * time.Second)
	if after, _ := there.Track("alice", "video0"); after.Packets > before.Packets+200 {
		t.Error("media crosses a link that is cut")
	}
	for _, v := range []*client.Subscriber{back, local} { // in their region nothing is amiss
		if st := more(t, v, "alice", "video0", 50); st.Lost != 0 {
			t.Errorf("in eu: %+v", st)
		}
	}
	down := time.Since(cut)
	b.heal()
	healed := time.Now()
	b.awaitLinks(t)
	links := time.Since(healed)
	more(t, there, "alice", "video0", 20)
	resumed := time.Since(healed)
	more(t, back, "carol", "video0", 20)
	t.Logf("cut for %v; links back %v after the repair, media %v", down.Round(10*time.Millisecond), links.Round(10*time.Millisecond), resumed.Round(10*time.Millisecond))
	for _, v := range viewers {
		for _, pub := range []string{"alice", "carol"} {
			if toldOf(v, away(t, pub)) || toldOf(v, left(t, pub)) {
				t.Errorf("heard %v", v.Log())
			}
		}
	}
}
