package testkit

import (
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATS starts a NATS server of its own in the test's process, on a free loopback port, and returns its URL,
// "nats://127.0.0.1:<port>". It ends with the test.
func NATS(t testing.TB) string {
	t.Helper()
	return NATSCluster(t, 1)[0].URL
}

// NATSNode is one server of a cluster: for tests of what happens when one of them goes. Its methods are called by the test's
// goroutine only.
type NATSNode struct {
	URL string // the same after Stop and Start

	t       testing.TB
	opts    server.Options
	cluster []*NATSNode
	srv     *server.Server // nil while stopped
}

// NATSCluster starts n servers with routes between them and returns when each is connected to all others: from then on what
// is published at one reaches the subscribers of all. They end with the test.
func NATSCluster(t testing.TB, n int) []*NATSNode {
	t.Helper()
	nodes := make([]*NATSNode, n)
	for i := range nodes {
		nodes[i] = &NATSNode{t: t, cluster: nodes, opts: server.Options{
			Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		}}
		if n > 1 {
			nodes[i].opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT}
		}
		t.Cleanup(nodes[i].Stop)
		nodes[i].run()
	}
	nodes[0].awaitMesh()
	return nodes
}

// Stop ends the server and returns when it is gone: its clients are cut off.
func (n *NATSNode) Stop() {
	if n.srv == nil {
		return
	}
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
	n.srv = nil
}

// Start starts a stopped server again at the same URL and returns when it is connected to all others that run.
func (n *NATSNode) Start() {
	n.t.Helper()
	if n.srv == nil {
		n.run()
	}
	n.awaitMesh()
}

// run starts the server and keeps its ports for the next time. Those that joined later connect to it by themselves.
func (n *NATSNode) run() {
	n.t.Helper()
	opts := n.opts
	for _, other := range n.cluster {
		if other != nil && other != n && other.srv != nil {
			opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: other.srv.ClusterAddr().String()})
		}
	}
	srv, err := server.NewServer(&opts)
	if err != nil {
		n.t.Fatalf("nats-server: %v", err)
	}
	n.srv = srv
	srv.Start()
	if !srv.ReadyForConnections(startLimit) {
		n.t.Fatalf("nats-server: not ready within %v", startLimit)
	}
	n.URL = srv.ClientURL()
	n.opts.Port = opts.Port
	if opts.Cluster.Name != "" {
		n.opts.Cluster.Port = srv.ClusterAddr().Port
	}
}

// awaitMesh waits until every running server of the cluster has a route to every other. The servers tell nobody, so it asks.
func (n *NATSNode) awaitMesh() {
	n.t.Helper()
	limit := time.After(startLimit)
	ask := time.NewTicker(2 * time.Millisecond)
	defer ask.Stop()
	for !n.meshed() {
		select {
		case <-ask.C:
		case <-limit:
			n.t.Fatalf("nats-server: the cluster of %d is not connected within %v", len(n.cluster), startLimit)
		}
	}
}

func (n *NATSNode) meshed() bool {
	n.t.Helper()
	running := 0
	for _, node := range n.cluster {
		if node.srv != nil {
			running++
		}
	}
	for _, node := range n.cluster {
		if node.srv == nil {
			continue
		}
		routes, err := node.srv.Routez(nil)
		if err != nil {
			n.t.Fatalf("nats-server: %v", err)
		}
		peers := map[string]bool{} // several routes lead to each
		for _, r := range routes.Routes {
			peers[r.RemoteID] = true
		}
		if len(peers) != running-1 {
			return false
		}
	}
	return true
}
