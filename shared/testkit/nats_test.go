package testkit

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func dialNATS(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1), nats.IgnoreDiscoveredServers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// cross publishes at one server until a subscriber of the other has it: interest travels between servers on its own.
func cross(t *testing.T, from, to *nats.Conn) {
	t.Helper()
	got := make(chan *nats.Msg, 100)
	sub, err := to.ChanSubscribe("a", got)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	limit := time.After(10 * time.Second)
	for {
		if err := from.Publish("a", nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
			return
		case <-time.After(20 * time.Millisecond):
		case <-limit:
			t.Fatalf("nothing came from %s to %s", from.ConnectedUrl(), to.ConnectedUrl())
		}
	}
}

func TestNATSClusterCarriesMessagesAndSurvivesALoss(t *testing.T) {
	start := time.Now()
	nodes := NATSCluster(t, 3)
	t.Logf("three servers connected after %v", time.Since(start))
	conns := make([]*nats.Conn, len(nodes))
	for i, n := range nodes {
		conns[i] = dialNATS(t, n.URL)
	}
	for i := range conns {
		cross(t, conns[i], conns[(i+1)%3])
	}
	url := nodes[0].URL
	nodes[0].Stop()
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Fatal("a stopped server answers")
	}
	cross(t, conns[1], conns[2])
	nodes[0].Start()
	if nodes[0].URL != url {
		t.Fatalf("came back at %s, was %s", nodes[0].URL, url)
	}
	cross(t, conns[0], conns[1])
	cross(t, conns[2], conns[0])
}

func TestNATSServersAreApart(t *testing.T) {
	a, b := NATS(t), NATS(t)
	if a == b {
		t.Fatalf("two servers at %s", a)
	}
	cross(t, dialNATS(t, a), dialNATS(t, a))
}

func TestNATSLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("cluster", func(t *testing.T) {
		nodes := NATSCluster(t, 2)
		cross(t, dialNATS(t, nodes[0].URL), dialNATS(t, nodes[1].URL))
	})
	goleak.VerifyNone(t, before)
}
