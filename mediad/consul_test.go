package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"weever/mediad/internal/client"
	"weever/shared/logtest"
	"weever/shared/nodes"
	"weever/shared/testkit"
)

// Two nodes, and a Consul agent that forgets everything: what is announced of them, whom they see, and that one that drains stays away
// from a new agent until the drain is called off.
func TestNodesInConsul(t *testing.T) {
	consul := testkit.StartConsul(t)
	said := &registrations{}
	proxy := httptest.NewServer(said.before(t, consul.URL))
	defer proxy.Close()
	c := newCluster(t, 2)
	var all []*testNode
	var logs []*logtest.Buffer
	for i, region := range []string{"eu", "us"} {
		cfg := c.drainConfig(i, 5*time.Minute)
		cfg.Node.Region, cfg.Shared.Consul, cfg.LogLevel = region, proxy.URL, slog.LevelInfo
		logs = append(logs, &logtest.Buffer{})
		all = append(all, startLogging(t, cfg, logs[i]))
	}
	draining, other := all[0], all[1]
	alice := publish(t, draining, "tea", "alice", client.Microphone()) // so that there is something to wait for
	sees := func(n *testNode, first, second nodes.Status) {
		t.Helper()
		await(t, n.cfg.Node.ID+" to see "+string(first)+" and "+string(second), 30*time.Second, func() bool {
			got := n.announce.Peers()
			return len(got) == 2 && got[0].Status == first && got[1].Status == second
		})
	}
	for _, n := range all {
		sees(n, nodes.Passing, nodes.Passing)
		if !n.announce.Up() {
			t.Errorf("%s does not know that Consul is there", n.cfg.Node.ID)
		}
	}
	for i, p := range other.announce.Peers() {
		n := all[i]
		want := nodes.Peer{
			ID: n.cfg.Node.ID, Addr: addrOf(n.public[0]).String(), Region: n.cfg.Node.Region, Version: version, Epoch: p.Epoch, Status: nodes.Passing,
		}
		if p != want || p.Epoch == 0 {
			t.Errorf("%+v, want %+v", p, want)
		}
	}
	for _, n := range all {
		said.check(t, n)
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		preStop(t, draining, "")
	}()
	sees(other, nodes.Maintenance, nodes.Passing)
	forgets(t, consul, draining, other)
	preStop(t, draining, "?cancel=1")
	<-done
	sees(other, nodes.Passing, nodes.Passing)
	if err := alice.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	draining.stop()
	await(t, "the node to be gone", 10*time.Second, func() bool { return len(other.announce.Peers()) == 1 })
	text := logs[1].String()
	if n := strings.Count(text, "other="+draining.cfg.Node.ID+" what=come"); n < 2 || !strings.Contains(text, "other="+draining.cfg.Node.ID+" what=gone") {
		t.Errorf("the log of the other says %d times that it came:\n%s", n, text)
	}
}

// forgets starts Consul anew, empty, and waits until it has settled what it knows.
func forgets(t *testing.T, consul *testkit.ConsulServer, draining, other *testNode) {
	t.Helper()
	agent, err := api.NewClient(&api.Config{Address: consul.URL})
	if err != nil {
		t.Fatal(err)
	}
	consul.Stop()
	await(t, "the nodes to miss Consul", 10*time.Second, func() bool { return !draining.announce.Up() && !other.announce.Up() })
	if got := other.announce.Peers(); len(got) != 2 {
		t.Errorf("without Consul it sees %v", got)
	}
	consul.Start()
	await(t, "the nodes to find it", 20*time.Second, func() bool { return draining.announce.Up() && other.announce.Up() })
	back := time.Now()
	await(t, "the other to be there again", 20*time.Second, func() bool {
		got := other.announce.Peers()
		return len(got) == 1 && got[0].ID == other.cfg.Node.ID && got[0].Status == nodes.Passing
	})
	<-time.After(time.Until(back.Add(7 * time.Second))) // its wish has been said twice more
	entries, _, err := agent.Health().Service("weever-mediad", "", false, nil)
	if err != nil || len(entries) != 1 || entries[0].Service.ID != other.cfg.Node.ID {
		t.Errorf("while a node drains there are %d: %v", len(entries), err)
	}
}

// An agent may be on another machine: it is told to ask a private API that listens everywhere at the node's advertised name.
func TestConsulAsksWhereTheNodeIs(t *testing.T) {
	consul := testkit.StartConsul(t)
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Private.Host, cfg.Node.AdvertiseHost, cfg.Shared.Consul = netip.IPv4Unspecified(), "localhost", consul.URL
	n := startLogging(t, cfg, &logtest.Buffer{})
	if want := "http://localhost:" + strconv.Itoa(int(addrOf(n.private).Port())) + "/readiness"; n.healthURL() != want {
		t.Errorf("Consul asks %s, not %s", n.healthURL(), want)
	}
	await(t, "Consul to find the node well", 30*time.Second, func() bool {
		peers := n.announce.Peers()
		return len(peers) == 1 && peers[0].Status == nodes.Passing
	})
}

// registrations is what nodes tell Consul of themselves.
type registrations struct {
	mu  sync.Mutex
	all []api.AgentServiceRegistration
}

// before is Consul, with registrations written down on their way.
func (r *registrations) before(t *testing.T, consul string) http.Handler {
	t.Helper()
	at, err := url.Parse(consul)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(at)
	pass.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // Consul away is what is tested
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut && req.URL.Path == "/v1/agent/service/register" {
			body, err := io.ReadAll(req.Body)
			var one api.AgentServiceRegistration
			if err != nil || json.Unmarshal(body, &one) != nil {
				t.Errorf("registration: %s", body)
			}
			req.Body = io.NopCloser(bytes.NewReader(body))
			r.mu.Lock()
			r.all = append(r.all, one)
			r.mu.Unlock()
		}
		pass.ServeHTTP(w, req)
	})
}

// check looks at what a node told: how others find it, how Consul sees that it is well, and when it forgets it.
func (r *registrations) check(t *testing.T, n *testNode) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.all, func(s api.AgentServiceRegistration) bool { return s.ID == n.cfg.Node.ID })
	if i < 0 {
		t.Fatalf("%s told nothing", n.cfg.Node.ID)
	}
	s := r.all[i]
	if epoch, err := strconv.ParseInt(s.Meta["epoch"], 10, 64); err != nil || epoch <= 0 {
		t.Errorf("epoch %q", s.Meta["epoch"])
	}
	if s.Name != "weever-mediad" || s.Address != "127.0.0.1" || s.Port != int(addrOf(n.public[0]).Port()) ||
		s.Meta["region"] != n.cfg.Node.Region || s.Meta["version"] != version || s.Meta["udp_port"] != strconv.Itoa(n.udp.Port()) {
		t.Errorf("registered as %+v", s)
	}
	forgets, err := time.ParseDuration(s.Check.DeregisterCriticalServiceAfter)
	if err != nil || forgets <= 2*n.cfg.Node.DrainTimeout || s.Check.HTTP != n.PrivateURL()+"/readiness" || s.Check.Interval != "2s" {
		t.Errorf("check %+v", s.Check)
	}
}
