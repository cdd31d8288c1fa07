package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/flagval"
	"weever/shared/eventually"
	"weever/shared/testkit"
)

// cluster is what the nodes of one test share: a real Redis and a real NATS cluster with one server for each node.
type cluster struct {
	redis string
	nats  []string
}

func newCluster(t *testing.T, servers int) *cluster {
	t.Helper()
	c := &cluster{redis: testkit.Redis(t)}
	for _, s := range testkit.NATSCluster(t, servers) {
		c.nats = append(c.nats, s.URL)
	}
	return c
}

// config is that of a node as the binary would have it, on free loopback ports and beside the i-th NATS server.
func (c *cluster) config(i int) Config {
	loopback := netip.MustParseAddr("127.0.0.1")
	cfg := Config{LogLevel: slog.LevelWarn}
	cfg.Public = PublicConfig{Host: loopback, PlainHTTP: true, CORSDomains: []string{"localhost"}}
	cfg.Private = PrivateConfig{Host: loopback}
	cfg.Shared = SharedConfig{
		Redis: flagval.NewSecret(c.redis), NATS: []flagval.Secret{flagval.NewSecret(c.nats[i%len(c.nats)])}, Namespace: "test",
	}
	cfg.Node = NodeConfig{ID: "node-" + strconv.Itoa(i), AdvertiseHost: "127.0.0.1", ResumeWindow: 10 * time.Second}
	cfg.Media = MediaConfig{LoopbackOnly: true}
	return cfg
}

// testNode is a node that runs until the test ends or stop is called.
type testNode struct {
	*node
	stop func() // ends the node as SIGTERM would and waits for it
}

// start runs a node and waits until it is ready.
func start(t *testing.T, cfg Config) *testNode {
	t.Helper()
	return startLogging(t, cfg, os.Stderr)
}

func startLogging(t *testing.T, cfg Config, log io.Writer) *testNode {
	t.Helper()
	n := launchLogging(t, cfg, log)
	awaitReady(t, n)
	return n
}

// launch runs a node and does not wait.
func launch(t *testing.T, cfg Config) *testNode {
	t.Helper()
	return launchLogging(t, cfg, os.Stderr)
}

func launchLogging(t *testing.T, cfg Config, log io.Writer) *testNode {
	t.Helper()
	if testing.Verbose() {
		cfg.LogLevel = slog.LevelDebug
	}
	n, err := newNode(cfg, newLogger(cfg, log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopped := false
	tn := &testNode{node: n, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s ended with %v", cfg.Node.ID, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s does not end", cfg.Node.ID)
		}
	}}
	t.Cleanup(tn.stop)
	return tn
}

func awaitReady(t *testing.T, n *testNode) {
	t.Helper()
	await(t, "readiness of "+n.cfg.Node.ID, 10*time.Second, func() bool {
		resp, err := http.Get(n.PrivateURL() + "/readiness")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// startNodes runs n nodes on a cluster of their own.
func startNodes(t *testing.T, n int) []*testNode {
	t.Helper()
	c := newCluster(t, min(n, 3))
	nodes := make([]*testNode, n)
	for i := range nodes {
		nodes[i] = start(t, c.config(i))
	}
	return nodes
}

// await looks until ok or fails the test, saying what it waited for.
func await(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	eventually.True(t, limit, what, ok)
}

// settle waits until no more goroutines run than at most, and says which do when that does not come to pass.
func settle(t *testing.T, most int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > most {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, want at most %d:\n%s", runtime.NumGoroutine(), most, buf[:runtime.Stack(buf, true)])
		}
		<-time.After(20 * time.Millisecond)
	}
}

// insecure is an HTTP client that takes any certificate and keeps no connection.
func insecure() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second} //nolint:gosec // the test's own node
}

// asStatus is errors.As for the refusal of a POST.
func asStatus(err error, target **client.StatusError) bool { return errors.As(err, target) }
