package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/follow"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/mediad/internal/flagval"
	"weever/shared/testkit"
)

// A node is emptied: who can go elsewhere does so without a gap, who cannot stays until the deadline.

// gapLimit is the longest silence of a track that is no gap: a few frames.
const gapLimit = 300 * time.Millisecond

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

// hiccup watches how late this very process is woken up, until stop: the nodes and all the clients share it, and what the machine holds
// up is no gap of theirs.
func hiccup() (stop func() time.Duration) {
	const every = 5 * time.Millisecond
	end, longest := make(chan struct{}), make(chan time.Duration)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		last, most := time.Now(), time.Duration(0)
		for {
			select {
			case <-tick.C:
				now := time.Now()
				most, last = max(most, now.Sub(last)-every), now
			case <-end:
				longest <- most
				return
			}
		}
	}()
	return func() time.Duration {
		close(end)
		return <-longest
	}
}

// check insists that everybody goes on elsewhere, that nobody saw a gap but for what the machine was late, and says how long the longest
// was.
func (c *crowd) check(t *testing.T, nodes []*testNode, left *testNode, late time.Duration) {
	t.Helper()
	var longest time.Duration
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
			longest = max(longest, s.Longest)
			if s.Longest > gapLimit+late || s.Packets < 50 {
				t.Errorf("viewer %d: %s was silent for %v from %v on, of %d packets", i, s.Track, s.Longest, s.Began, s.Packets)
			}
		}
		for _, m := range v.Current().Log() {
			switch m.(type) {
			case control.PubLeft, control.PubAway:
				t.Errorf("viewer %d was told %#v", i, m)
			}
		}
	}
	t.Logf("longest silence of a track: %v; the machine was %v late at most", longest, late)
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
			hiccups := hiccup()
			began := time.Now()
			drain(t, nodes[0])
			took := time.Since(began)
			t.Logf("drained in %v", took)
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			crowd.receives(t)
			crowd.check(t, nodes, nodes[0], hiccups())
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

// A drain that is called off leaves the node as it was, for whoever stayed and for balancers.
func TestDrainCalledOff(t *testing.T) {
	consul := testkit.Consul(t)
	c := newCluster(t, 1)
	cfg := c.drainConfig(0, time.Minute)
	cfg.Shared.Consul = consul
	n := start(t, cfg)
	publish(t, n, "tea", "alice")
	player := startPlayer(t, n, "tea", "player", "alice")
	plays(t, player, "alice", "audio0")
	awaitCheck(t, consul, n, "passing")

	for range 2 {
		done := make(chan int, 1)
		go func() {
			status, _ := preStop(t, n, "")
			done <- status
		}()
		awaitCheck(t, consul, n, "maintenance")
		if status, what := readiness(t, n); status != 503 || what != "draining" {
			t.Errorf("readiness %d %s", status, what)
		}
		if status, body := preStop(t, n, "?cancel=1"); status != 200 || body["cancelled"] != true {
			t.Errorf("%d %v", status, body)
		}
		if status, what := readiness(t, n); status != 200 || what != "ok" {
			t.Errorf("readiness %d %s", status, what)
		}
		if status := <-done; status != 409 {
			t.Errorf("the drain that was called off is answered %d", status)
		}
		awaitCheck(t, consul, n, "passing")
	}
	if status, body := preStop(t, n, "?cancel=1"); status != 200 || body["cancelled"] != false {
		t.Errorf("there was none: %d %v", status, body)
	}
	more(t, player, "alice", "audio0", 50)
	plays(t, subscribe(t, n, "tea", "bob"), "alice", "audio0")
}

// awaitCheck waits until Consul knows a node in a state: "passing", or "maintenance".
func awaitCheck(t *testing.T, consul string, n *testNode, state string) {
	t.Helper()
	await(t, n.cfg.Node.ID+" to be "+state+" in Consul", 10*time.Second, func() bool {
		var entries []struct {
			Checks []struct{ CheckID, Status string }
		}
		r := do(t, "GET", consul+"/v1/health/service/weever-mediad", "", nil)
		if err := json.Unmarshal([]byte(r.body), &entries); err != nil || len(entries) != 1 {
			return false
		}
		is := "passing"
		for _, check := range entries[0].Checks {
			switch {
			case strings.HasPrefix(check.CheckID, "_service_maintenance"):
				is = "maintenance"
			case check.Status != "passing" && is == "passing":
				is = check.Status
			}
		}
		return is == state
	})
}

// Pages of the web cannot drain a node, whose private API trusts whoever is on its machine.
func TestWhoMayDrain(t *testing.T) {
	c := newCluster(t, 1)
	open := start(t, c.drainConfig(0, time.Minute))
	cfg := c.drainConfig(1, time.Minute)
	cfg.Private.AdminToken = flagval.NewSecret("admin")
	guarded := start(t, cfg)
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	bearer := map[string]string{"Authorization": "Bearer admin"}
	for name, c := range map[string]struct {
		node         *testNode
		method, path string
		header       map[string]string
		body         string
		status       int
	}{
		"a page's form":             {open, "POST", "/preStop", map[string]string{"Origin": "https://evil.example", "Content-Type": "text/plain"}, "", 403},
		"a page without an origin":  {open, "POST", "/preStop", map[string]string{"Origin": "null"}, "", 403},
		"a page's request":          {open, "POST", "/preStop", map[string]string{"Sec-Fetch-Site": "cross-site"}, "", 403},
		"a page that calls it off":  {open, "POST", "/preStop?cancel=1", map[string]string{"Origin": "https://evil.example"}, "", 403},
		"a form with fields":        {open, "POST", "/preStop", form, "a=b", 400},
		"an image":                  {open, "GET", "/preStop", nil, "", 405},
		"a look":                    {open, "HEAD", "/preStop", nil, "", 405},
		"another Host":              {open, "POST", "/preStop", map[string]string{"Host": "evil.example"}, "", 403},
		"nonsense":                  {open, "POST", "/preStop?cancel=0", nil, "", 400},
		"no token":                  {guarded, "POST", "/preStop", nil, "", 401},
		"the wrong token":           {guarded, "GET", "/preStop", map[string]string{"Authorization": "Bearer x"}, "", 401},
		"a look, with the token":    {guarded, "HEAD", "/preStop", bearer, "", 405},
		"to call it off by GET":     {guarded, "GET", "/preStop?cancel=1", bearer, "", 405},
		"by GET and with the token": {guarded, "GET", "/preStop", bearer, "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, c.node.PrivateURL()+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range c.header {
				req.Header.Set(k, v)
			}
			if host := req.Header.Get("Host"); host != "" {
				req.Host = host
			}
			resp, err := insecure().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if is, _ := readiness(t, c.node); resp.StatusCode != c.status || c.status >= 400 && c.node == open && is != http.StatusOK {
				t.Errorf("%d, want %d; readiness is %d then", resp.StatusCode, c.status, is)
			}
		})
	}
}

// A process that is told to end waits for who is there; told twice it ends at once; drained before, it ends at once and in order.
func TestSignals(t *testing.T) {
	cluster := newCluster(t, 1)
	for name, c := range map[string]struct {
		drained, twice bool
		least, most    time.Duration
		exit           int // -1: by the signal
	}{
		"a drain":             {false, false, 3 * time.Second, 6 * time.Second, 0},
		"after a drain":       {true, false, 0, 2 * time.Second, 0},
		"and a second signal": {false, true, 0, 2 * time.Second, -1},
	} {
		t.Run(name, func(t *testing.T) {
			n := cluster.run(t, 0, "--drain-timeout=3s")
			p, err := client.Publish(within(t, 10*time.Second), client.Config{
				URL: "http://" + n.public, Room: "tea", ID: "alice", HTTP: insecure(), LoopbackOnly: true, NoControl: true,
			}, client.Microphone())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Hangup)
			preStop, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.private+"/preStop", nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.drained {
				if status, body, err := fetch(preStop); err != nil || status != 200 || body["left"] != 1.0 {
					t.Fatalf("%d %v %v", status, body, err)
				}
			}
			began := time.Now()
			n.signal(t, syscall.SIGTERM)
			if !c.drained {
				await(t, "readiness to go", 2*time.Second, func() bool {
					return do(t, "GET", "http://"+n.private+"/readiness", "", nil).status == 503
				})
				preStop.URL.RawQuery = "cancel=1"
				if status, _, err := fetch(preStop); err != nil || status != 409 {
					t.Errorf("calling it off is answered %d %v", status, err)
				}
			}
			if c.twice {
				n.signal(t, syscall.SIGTERM)
			}
			<-n.over
			if took, exit := time.Since(began), n.cmd.ProcessState.ExitCode(); took < c.least || took > c.most || exit != c.exit {
				t.Errorf("it ended after %v with %d", took, exit)
			}
		})
	}
}
