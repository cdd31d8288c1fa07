package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/follow"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/testkit"
)

// A node is emptied: who can go elsewhere does so without a gap, who cannot stays until the deadline.

const (
	// gapLimit is for how long at most nothing came of what was sent: a few frames.
	gapLimit = 300 * time.Millisecond
	// silenceLimit is for how long at most nothing came at all. It has to bear a machine that is busy with dozens of handshakes, those
	// of the clients among them; who lost a session and came back would be silent for longer.
	silenceLimit = 3 * time.Second
)

// drainConfig is that of the i-th node, with time for a drain.
func (c *cluster) drainConfig(i int, timeout time.Duration) Config {
	cfg := c.config(i)
	cfg.Node.DrainTimeout = timeout
	return cfg
}

// balanceReady puts HAProxy in front of nodes, which asks them all the time whether they are ready.
func balanceReady(t *testing.T, nodes []*testNode) *testkit.Balancer {
	t.Helper()
	var behind []testkit.BalancedNode
	for _, n := range nodes {
		behind = append(behind, testkit.BalancedNode{
			Name: n.cfg.Node.ID, Addr: addrOf(n.public[0]).String(), Check: addrOf(n.private).String(),
		})
	}
	return testkit.HAProxy(t, "", behind...)
}

// crowd is a publisher and its viewers, who follow where a balancer leads.
type crowd struct {
	pub     *follow.Publisher
	viewers []*follow.Subscriber
}

// gather starts a crowd on one node.
func gather(t *testing.T, b *testkit.Balancer, at *testNode, rm string, viewers int) *crowd {
	t.Helper()
	config := func(id string) follow.Config {
		return follow.Config{First: at.PublicURL(), Config: client.Config{URL: b.URL, Room: rm, ID: id, HTTP: insecure(), LoopbackOnly: true}}
	}
	camera := client.Camera(synth.VP8, synth.Burst)
	camera.Packets = 2 // of a frame: this is about gaps, not about load
	p, err := follow.Publish(within(t, 10*time.Second), config("alice+1"), client.Microphone(), camera)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{pub: p}
	t.Cleanup(c.leave)
	for i := range viewers {
		v, err := follow.Subscribe(within(t, 10*time.Second), config("viewer"+strconv.Itoa(i)), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		c.viewers = append(c.viewers, v)
	}
	c.receives(t)
	return c
}

// receives waits until each viewer has got so many packets of each track since Measure that a silence would show.
func (c *crowd) receives(t *testing.T) {
	t.Helper()
	await(t, "media for all viewers", 20*time.Second, func() bool {
		for _, v := range c.viewers {
			silences := v.Silences()
			if len(silences) != 2 || silences[0].Packets < 50 || silences[1].Packets < 50 {
				return false
			}
		}
		return true
	})
}

func (c *crowd) leave() {
	var wg sync.WaitGroup
	for _, v := range c.viewers {
		wg.Go(v.Close)
	}
	wg.Wait()
	c.pub.Close()
}

// check insists that everybody goes on elsewhere and that nobody saw a gap, and says how long the longest was.
func (c *crowd) check(t *testing.T, nodes []*testNode, left *testNode) {
	t.Helper()
	var hole, longest time.Duration
	await(t, "the publisher to see that it has moved", 5*time.Second, func() bool { return c.pub.Sessions() == 2 })
	if at := ownerOf(t, nodes, c.pub.Current().Location()); at == left.cfg.Node.ID || c.pub.Err() != nil {
		t.Errorf("the publisher is at %s: %v", at, c.pub.Err())
	}
	for i, v := range c.viewers {
		await(t, "a viewer to see that it has moved", 5*time.Second, func() bool { return v.Sessions() >= 2 })
		if at := ownerOf(t, nodes, v.Current().Location()); at == left.cfg.Node.ID || v.Err() != nil || v.Sessions() != 2 {
			t.Errorf("viewer %d is at %s after %d sessions: %v", i, at, v.Sessions(), v.Err())
		}
		silences := v.Silences()
		if len(silences) != 2 {
			t.Errorf("viewer %d: %+v", i, silences)
		}
		for _, s := range silences {
			hole, longest = max(hole, s.Hole), max(longest, s.Longest)
			if s.Hole > gapLimit || s.Longest > silenceLimit || s.Packets < 50 {
				t.Errorf("viewer %d: %s lacks %v of what was sent, from %v on, and was silent for %v from %v on, with %d packets",
					i, s.Track, s.Hole, s.HoleAt, s.Longest, s.Began, s.Packets)
			}
		}
		for _, m := range v.Current().Log() {
			switch m.(type) {
			case control.PubLeft, control.PubAway:
				t.Errorf("viewer %d was told %#v", i, m)
			}
		}
	}
	t.Logf("of no track were more than %v of what was sent missing, none was silent for more than %v", hole, longest)
}

// preStop asks a node to drain, or with ?cancel=1 not to, and waits for the reply.
func preStop(t *testing.T, n *testNode, query string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.PrivateURL()+"/preStop"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, body, err := fetch(req)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

// fetch sends a request that may take long, and reads the JSON of the reply.
func fetch(req *http.Request) (int, map[string]any, error) {
	resp, err := (&http.Client{Transport: insecure().Transport}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var out map[string]any
	return resp.StatusCode, out, json.Unmarshal(body, &out)
}

// readiness is the status of the probe, and the one in its body.
func readiness(t *testing.T, n *testNode) (int, string) {
	t.Helper()
	r := do(t, "GET", n.PrivateURL()+"/readiness", "", nil)
	var body struct{ Status string }
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatal(err)
	}
	return r.status, body.Status
}

func TestDrainWithoutAGap(t *testing.T) {
	for name, drain := range map[string]func(*testing.T, *testNode){
		"preStop": func(t *testing.T, n *testNode) {
			if status, body := preStop(t, n, ""); status != 200 || body["drained"] != true || body["left"] != 0.0 {
				t.Errorf("%d %v", status, body)
			}
		},
		"SIGTERM": func(_ *testing.T, n *testNode) { n.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3)
			var nodes []*testNode
			for i := range 3 {
				nodes = append(nodes, start(t, c.drainConfig(i, time.Minute)))
			}
			b := balanceReady(t, nodes)
			crowd := gather(t, b, nodes[0], "tea", 20)
			for _, v := range crowd.viewers {
				v.Measure()
			}
			began := time.Now()
			drain(t, nodes[0])
			took := time.Since(began)
			t.Logf("drained in %v", took)
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			crowd.receives(t)
			crowd.check(t, nodes, nodes[0])
		})
	}
}

// Plain players know no RECONNECT: they are served until the deadline, and all that while may change their path, read events and end.
func TestPlainPlayersStayUntilTheDeadline(t *testing.T) {
	c := newCluster(t, 2)
	nodes := []*testNode{start(t, c.drainConfig(0, 4*time.Second)), start(t, c.drainConfig(1, time.Minute))}
	publish(t, nodes[1], "tea", "alice")
	players := map[string]*client.Subscriber{}
	for _, id := range []string{"stays", "leaves"} {
		players[id] = startPlayer(t, nodes[0], "tea", id, "alice")
		plays(t, players[id], "alice", "video0")
	}
	e := listen(t, nodes[0].PublicURL()+openEvents(t, nodes[1], players["stays"], ""))
	e.expect("active", "{}")

	began := time.Now()
	done := make(chan map[string]any, 1)
	go func() {
		_, body := preStop(t, nodes[0], "")
		done <- body
	}()
	await(t, "readiness to go", 2*time.Second, func() bool { status, what := readiness(t, nodes[0]); return status == 503 && what == "draining" })
	e.next("the word to start anew", func(s sse) bool { return s.name == "reconnect" })
	offer, _ := silentOffer(t)
	posted := do(t, "POST", nodes[0].PublicURL()+"/pub/tea/bob", offer, sdpHeader)
	problem(t, posted, 503)
	if posted.header.Get("Retry-After") != "1" {
		t.Errorf("%+v", posted.header)
	}
	if metrics := do(t, "GET", nodes[0].PrivateURL()+"/metrics", "", nil).body; !strings.Contains(metrics, "\nweever_draining 1\n") ||
		!strings.Contains(metrics, "\nweever_drain_sessions_left 2\n") {
		t.Error("the metrics do not tell of the drain")
	}
	if err := players["stays"].ICERestart(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
	more(t, players["stays"], "alice", "video0", 60)
	if err := players["leaves"].Close(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
	body := <-done
	if took := time.Since(began); body["drained"] != true || body["left"] != 1.0 || took < 4*time.Second || took > 6*time.Second {
		t.Errorf("after %v: %v", took, body)
	}
	more(t, players["stays"], "alice", "video0", 20) // until SIGTERM
	began = time.Now()
	nodes[0].stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the end of a drained node took %v", took)
	}
	<-players["stays"].Done()
	e.ends()
}
