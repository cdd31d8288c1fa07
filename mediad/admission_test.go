package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/health"
	"weever/shared/logtest"
)

// A node that is full is left out by balancers, hurts nobody whom it serves, and comes back when there is room.

// refusedAsFull insists on the refusal of a POST by a node without room.
func refusedAsFull(t *testing.T, n *testNode, says string) {
	t.Helper()
	offer, _ := silentOffer(t)
	r := do(t, "POST", n.PublicURL()+"/pub/tea/late", offer, sdpHeader)
	problem(t, r, 503)
	if r.header.Get("Retry-After") == "" || !strings.Contains(r.body, says) {
		t.Errorf("%+v", r)
	}
}

// servers tells who answers the next requests by way of a balancer.
func servers(t *testing.T, url string) map[string]int {
	t.Helper()
	by := map[string]int{}
	for range 8 {
		by[do(t, "HEAD", url+"/pub/tea/nobody", "", nil).header.Get("X-Served-By")]++
	}
	return by
}

func TestFullNodeLeavesTheBalancer(t *testing.T) {
	c := newCluster(t, 2)
	small := c.config(0)
	small.Node.MaxSessions = 2
	nodes := []*testNode{start(t, small), start(t, c.config(1))}
	b := balanceReady(t, nodes)
	alice := publish(t, nodes[0], "tea", "alice", client.Microphone())
	bob := subscribe(t, nodes[0], "tea", "bob")
	plays(t, bob, "alice", "audio0")

	b.Await("node-0", "DOWN")
	code, r := report(t, nodes[0])
	if most := r.Components["sessions"]; code != 503 || r.Status != health.Full || r.Reason != "sessions" ||
		most.Status != "full" || *most.Value != 2 || *most.Max != 2 {
		t.Errorf("%d %+v", code, r)
	}
	if by := servers(t, b.URL); by["node-0"] != 0 {
		t.Errorf("requests go to %v", by)
	}
	refusedAsFull(t, nodes[0], "2 sessions")
	if err := bob.ICERestart(within(t, 5*time.Second)); err != nil { // PATCH
		t.Error(err)
	}
	more(t, bob, "alice", "audio0", 50)

	if err := bob.Close(within(t, 5*time.Second)); err != nil { // DELETE
		t.Fatal(err)
	}
	await(t, "room for one", 5*time.Second, func() bool { publishers, viewers := nodes[0].sessions.Counts(); return publishers+viewers == 1 })
	carol := publish(t, nodes[0], "tea", "carol", client.Microphone()) // at once, though balancers are told to wait
	refusedAsFull(t, nodes[0], "2 sessions")
	for _, p := range []*client.Publisher{alice, carol} {
		if err := p.Close(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	b.Await("node-0", "UP")
	if by := servers(t, b.URL); by["node-0"] != 4 || by["node-1"] != 4 {
		t.Errorf("requests go to %v", by)
	}
}

func TestEgressLimit(t *testing.T) {
	cfg := newCluster(t, 1).config(0)
	cfg.Node.MaxEgressMbps, cfg.LogLevel = 1, slog.LevelInfo
	var log logtest.Buffer
	n := startLogging(t, cfg, &log)
	publish(t, n, "tea", "alice", client.Microphone(), client.Camera(synth.VP8, synth.Burst)) // some 1.8 Mbit/s
	bob := subscribe(t, n, "tea", "bob")
	plays(t, bob, "alice", "video0")

	code, r := awaitStatus(t, n, 20*time.Second, health.Full, "egress")
	if sent := r.Components["egress"]; code != 503 || *sent.Value < 1 || *sent.Max != 1 || sent.Unit != "Mbit/s" {
		t.Errorf("%d %+v", code, r)
	}
	refusedAsFull(t, n, "sends as much")
	more(t, bob, "alice", "video0", 100)
	if _, r := report(t, n); r.Status != health.Full {
		t.Errorf("it sends as much as before: %+v", r)
	}
	if err := bob.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, n, 30*time.Second, health.OK, "")
	plays(t, subscribeOffering(t, clientConfig(n, "tea", "carol"), 1, 0), "alice", "audio0")

	said := changes(&log)
	if len(said) != 3 || !strings.Contains(said[0], "is=ok") || !strings.Contains(said[1], "is=full reason=egress") || !strings.Contains(said[2], "is=ok") {
		t.Errorf("the log says %q", said)
	}
}
