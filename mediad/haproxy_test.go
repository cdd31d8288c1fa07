package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/testkit"
)

// behind is the shipped balancer with three nodes behind it.
type behind struct {
	whole   *testing.T // that nodes live as long as
	consul  *testkit.ConsulServer
	cluster *cluster
	edge    *edge
	nodes   []*nodeProcess // the first takes three sessions
	all     []string       // their instances
}

// The shipped balancer, through what befalls nodes, Consul and itself. The times are for the log: Consul asks a node every 2 s, HAProxy
// asks Consul every 0.5 s.
func TestShippedBalancer(t *testing.T) {
	consul := testkit.StartConsul(t)
	b := &behind{whole: t, consul: consul, cluster: newCluster(t, 3), edge: startEdge(t, consul.DNS)}
	var last time.Time
	for i := range 3 {
		flags := []string{"--drain-timeout=1m"}
		if i == 0 {
			flags = append(flags, "--max-sessions=3")
		}
		n, instance := b.cluster.announced(t, consul, i, flags...)
		last = time.Now()
		b.nodes, b.all = append(b.nodes, n), append(b.all, instance)
	}
	t.Logf("three nodes served through the balancer %v after the last was started", b.edge.serves(last, b.all...))

	for _, part := range []struct {
		name string
		test func(*testing.T, *behind)
	}{
		{"takes turns", takesTurns},
		{"HTTP/1.1 and HTTP/2", bothProtocols},
		{"whole lives", wholeLives},
		{"a full node", fullNode},
		{"a node that drains, and does not", drainingNode},
		{"a node that is killed, and comes again", killedNode},
		{"a node that is frozen", frozenNode},
		{"Consul goes and comes back empty", consulForgets},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, b) })
	}
}

// POSTs take turns among themselves.
func takesTurns(t *testing.T, b *behind) {
	e := b.edge.in(t)
	turns := map[string]int{}
	for range 12 {
		turns[e.post()]++
	}
	for _, i := range b.all {
		if turns[i] != 4 {
			t.Errorf("turns of POSTs: %v", turns)
		}
	}
}

// A publisher and a viewer, all of whose requests go to any node.
func wholeLives(t *testing.T, b *behind) {
	e := b.edge.in(t)
	var tr trail
	cfg := client.Config{URL: e.url, Room: "lives", LoopbackOnly: true, Trickle: true, HTTP: &http.Client{Transport: &tr, Timeout: 10 * time.Second}}
	cfg.ID = "alice"
	p, err := client.Publish(within(t, 10*time.Second), cfg, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	cfg.ID = "bob"
	v := subscribeOffering(t, cfg, 1, 1)
	plays(t, v, "alice", "audio0")
	for range 3 { // each node has its turn
		if err := p.ICERestart(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		more(t, v, "alice", "audio0", 20)
	}
	for _, end := range []func(context.Context) error{v.Close, p.Close} {
		if err := end(within(t, 5*time.Second)); err != nil {
			t.Error(err)
		}
	}
	for _, h := range tr.take() {
		if h.status >= 300 {
			t.Errorf("%+v", h)
		}
	}
}

// A node has become full, which the balancer does not know: its POSTs go to others with their offers.
func fullNode(t *testing.T, b *behind) {
	e := b.edge.in(t)
	b.consul.Pause() // it does not notice
	var full []*client.Publisher
	for _, id := range []string{"alice", "bob", "carol"} {
		p, err := client.Publish(within(t, 10*time.Second), b.nodes[0].config("full", id), client.Microphone())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Hangup)
		full = append(full, p)
	}
	before := len(e.requests())
	for range 6 {
		if at := e.post(); at == "" || at == b.all[0] {
			t.Errorf("taken by %q", at)
		}
	}
	retried := 0
	for _, r := range e.requests()[before:] {
		if r.retried {
			retried++
		}
		if r.status != "201" && r.status != "200" {
			t.Errorf("%+v", r)
		}
	}
	if retried == 0 {
		t.Error("the full node had no turn")
	}
	began := time.Now()
	b.consul.Resume()
	t.Logf("%d POSTs of 6 were tried again, with their offers; out of turn %v after Consul could know", retried, e.knows(began, 2))
	began = time.Now()
	for _, p := range full {
		if err := p.Close(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("back %v after it had room again", e.knows(began, 3))
	e.serves(began, b.all...)
}

// A node drains, and its drain is called off.
func drainingNode(t *testing.T, b *behind) {
	e := b.edge.in(t)
	cfg := b.nodes[1].config("drain", "alice")
	cfg.NoControl = true // it stays
	p, err := client.Publish(within(t, 10*time.Second), cfg, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		_, _ = try(t, "POST", "http://"+b.nodes[1].private+"/preStop", "", nil) // ends with the cancel
	}()
	await(t, "the drain", 5*time.Second, func() bool { return do(t, "GET", "http://"+b.nodes[1].private+"/readiness", "", nil).status == 503 })
	for range 6 {
		if e.post() == "" {
			t.Error("a POST was not taken while a node drains")
		}
	}
	t.Logf("out of turn %v after the drain began", e.knows(began, 2))
	e.serves(began, b.all[0], b.all[2])
	began = time.Now()
	if r := do(t, "POST", "http://"+b.nodes[1].private+"/preStop?cancel=1", "", nil); r.status != 200 {
		t.Errorf("%+v", r)
	}
	<-done
	t.Logf("back %v after it was called off", e.knows(began, 3))
	e.serves(began, b.all...)
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
}

// A node dies without a word and is started anew, at another port.
func killedNode(t *testing.T, b *behind) {
	e := b.edge.in(t)
	began := time.Now()
	b.nodes[2].kill(t)
	for range 12 { // it still has its turns, for Consul does not know
		if e.post() == "" {
			t.Error("a POST was not taken while a node is dead")
		}
	}
	t.Logf("out of turn %v after it was killed", e.knows(began, 2))
	began = time.Now()
	b.nodes[2], b.all[2] = b.cluster.announced(b.whole, b.consul, 2, "--drain-timeout=1m")
	t.Logf("back %v after it was started again", e.knows(began, 3))
	e.serves(began, b.all...)
}

// Consul is away, then back without a memory. Nobody is refused meanwhile.
func consulForgets(t *testing.T, b *behind) {
	e := b.edge.in(t)
	e.serves(time.Now(), b.all...)
	began := time.Now()
	b.consul.Stop()
	refused, asked := 0, 0
	ask := func(d time.Duration) {
		for until := time.Now().Add(d); time.Now().Before(until); asked++ {
			if e.post() == "" {
				refused++
			}
		}
	}
	ask(8 * time.Second)
	if refused > 0 {
		t.Errorf("without Consul %d of %d POSTs were refused", refused, asked)
	}
	e.serves(time.Now(), b.all...)
	t.Logf("all nodes served for %v without Consul, %d POSTs", time.Since(began).Round(time.Second), asked)
	began, asked = time.Now(), 0
	b.consul.Start()
	ask(8 * time.Second)
	if refused > 0 {
		t.Errorf("when Consul came back empty %d of %d POSTs were refused", refused, asked)
	}
	e.serves(time.Now(), b.all...)
	t.Logf("it came back empty: all nodes served within %v, %d POSTs meanwhile, none refused", time.Since(began).Round(time.Second), asked)
}

// Clients speak one or the other; nodes do not notice.
func bothProtocols(t *testing.T, b *behind) {
	e := b.edge.in(t)
	h2 := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		ForceAttemptHTTP2: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own certificate
	}}
	for major, c := range map[int]*http.Client{1: insecure(), 2: h2} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/pub/tea/alice", strings.NewReader(goodOffer))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/sdp")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 201 || resp.ProtoMajor != major || resp.TLS == nil {
			t.Errorf("HTTP/%d: %s %s", major, resp.Proto, resp.Status)
		}
		for _, step := range []struct {
			method string
			status int
		}{{"PATCH", 204}, {"GET", 204}, {"DELETE", 200}} {
			req, err := http.NewRequestWithContext(t.Context(), step.method, e.url+resp.Header.Get("Location"), strings.NewReader(oneCandidate))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", sdpfrag.ContentType)
			r, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if r.StatusCode != step.status || r.ProtoMajor != major {
				t.Errorf("HTTP/%d: %s: %s", major, step.method, r.Status)
			}
		}
	}
}

// A node stands still: a POST that it does not answer is answered by another, and so is a request for a session of
// others. For a session of its own one node answers, once: it is not asked of all others in turn.
func frozenNode(t *testing.T, b *behind) {
	consul, e, nodes := b.consul, b.edge.in(t), b.nodes
	open := func(n *nodeProcess) string {
		r := do(t, "POST", "http://"+n.public+"/pub/tea/alice", goodOffer, sdpHeader)
		if r.status != 201 {
			t.Fatalf("%+v", r)
		}
		return r.header.Get("Location")
	}
	its := open(nodes[1])
	consul.Pause() // it does not notice
	defer consul.Resume()
	nodes[1].signal(t, syscall.SIGSTOP)
	defer nodes[1].signal(t, syscall.SIGCONT)
	asked := 0
	ask := func(method, path, body string, header map[string]string) (reply, request, time.Duration) {
		t.Helper()
		asked++
		mark := fmt.Sprintf("?asked=%d", asked) // requests of before may be logged late
		began := time.Now()
		got := do(t, method, e.url+path+mark, body, header)
		took := time.Since(began)
		log := e.logged(mark)
		if log.method != method {
			t.Errorf("the balancer says %+v", log)
		}
		return got, log, took.Round(10 * time.Millisecond)
	}
	retried := 0
	for range len(nodes) {
		trickle := map[string]string{"Content-Type": sdpfrag.ContentType}
		got, log, took := ask("PATCH", open(nodes[0]), oneCandidate, trickle)
		if got.status != 204 || log.retried != (took > 5*time.Second) {
			t.Errorf("PATCH at another node's session: %d after %v, %+v", got.status, took, log)
		}
		if log.retried {
			retried++
			t.Logf("a PATCH that the frozen node did not answer was answered by another after %v", took)
			break
		}
		if got, log, took = ask("PATCH", its, oneCandidate, trickle); log.retried {
			retried++
		} else if got.status != 503 || took > 3500*time.Millisecond {
			t.Errorf("PATCH at its session: %d after %v, %+v", got.status, took, log)
		}
	}
	for range len(nodes) {
		got, log, took := ask("POST", "/pub/tea/bob", goodOffer, sdpHeader)
		if got.status != 201 || log.retried != (took > 5*time.Second) {
			t.Errorf("POST: %d after %v, %+v", got.status, took, log)
		}
		if log.retried {
			retried++
			t.Logf("a POST that the frozen node did not answer was answered by another after %v", took)
			break
		}
	}
	if retried < 2 {
		t.Errorf("%d requests were tried again: it did not have its turns", retried)
	}
}
