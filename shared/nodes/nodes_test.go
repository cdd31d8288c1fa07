package nodes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"

	"weever/shared/nodes"
	"weever/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const service = "weever-mediad"

// node is one announced node and the probe that Consul asks.
type node struct {
	*nodes.Agent
	ready atomic.Bool
	log   *lines
	end   func() // ends Run and waits for it; may be called twice
}

// start runs an agent for id at Consul url.
func start(t *testing.T, url, id string) *node {
	t.Helper()
	return startAs(t, url, id, map[string]string{"epoch": "7", "region": "eu"})
}

func startAs(t *testing.T, url, id string, meta map[string]string) *node {
	t.Helper()
	n := &node{log: &lines{wrote: make(chan struct{}, 1)}}
	n.ready.Store(true)
	probe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readiness" || !n.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(probe.Close)
	agent, err := nodes.New(nodes.Config{
		Addr: url, NodeID: id, Service: service, Host: "127.0.0.1", Port: 8443,
		Tags: []string{"media"}, Meta: meta,
		HealthURL: probe.URL + "/readiness", DeregisterAfter: time.Hour, Log: slog.New(slog.NewTextHandler(n.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Agent = agent
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	n.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(n.end)
	return n
}

// consul reads an agent's catalog by blocking queries, the way a balancer does.
type consul struct {
	t *testing.T
	*api.Client
}

func dial(t *testing.T, url string) consul {
	t.Helper()
	conf := api.DefaultNonPooledConfig()
	conf.Address = url
	c, err := api.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	return consul{t, c}
}

// await blocks until want holds for the service's instances (only those in rotation if passing).
func (c consul) await(what string, passing bool, want func([]*api.ServiceEntry) bool) []*api.ServiceEntry {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	q := (&api.QueryOptions{WaitTime: 5 * time.Second}).WithContext(ctx)
	for {
		got, meta, err := c.Health().Service(service, "", passing, q)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", what, err)
		}
		if want(got) {
			return got
		}
		q.WaitIndex = meta.LastIndex
	}
}

func count(n int) func([]*api.ServiceEntry) bool {
	return func(got []*api.ServiceEntry) bool { return len(got) == n }
}

func TestAnnouncedHealthyCriticalAndGone(t *testing.T) {
	t.Parallel()
	url := testkit.Consul(t)
	c := dial(t, url)
	n := start(t, url, "node-1")

	got := c.await("the node to pass", true, count(1))[0].Service
	if got.ID != "node-1" || got.Address != "127.0.0.1" || got.Port != 8443 || got.Meta["epoch"] != "7" || got.Meta["region"] != "eu" ||
		len(got.Tags) != 1 || got.Tags[0] != "media" {
		t.Fatalf("announced as %+v", got)
	}
	n.ready.Store(false)
	c.await("the node to turn critical", true, count(0))
	if all := c.await("the node", false, count(1)); all[0].Checks.AggregatedStatus() != api.HealthCritical {
		t.Fatalf("status %s", all[0].Checks.AggregatedStatus())
	}
	n.ready.Store(true)
	c.await("the node to come back", true, count(1))
	n.end()
	c.await("the node to go", false, count(0))
}

func TestForgottenIsAnnouncedAgain(t *testing.T) {
	t.Parallel()
	url := testkit.Consul(t)
	c := dial(t, url)
	start(t, url, "node-1")
	c.await("the node to pass", true, count(1))
	if err := c.Agent().ServiceDeregister("node-1"); err != nil {
		t.Fatal(err)
	}
	c.await("the node to be forgotten", false, count(0))
	c.await("the node to be announced again", true, count(1))
}

func TestConsulAwayAtStartAndLater(t *testing.T) {
	t.Parallel()
	s := testkit.StartConsul(t)
	s.Stop()
	n := start(t, s.URL, "node-1")
	n.log.await(t, "Consul is away or refuses", 1)
	s.Start()
	c := dial(t, s.URL)
	c.await("the node to pass", true, count(1))
	s.Stop()
	n.log.await(t, "Consul is away or refuses", 2)
	s.Start()
	c.await("the node to be announced to the new agent", true, count(1))
}

func TestMaintenance(t *testing.T) {
	t.Parallel()
	url := testkit.Consul(t)
	c := dial(t, url)
	n := start(t, url, "node-1")
	c.await("the node to pass", true, count(1))
	if err := n.Maintenance(t.Context(), true, "drain"); err != nil {
		t.Fatal(err)
	}
	all := c.await("the node to leave rotation", false, func(got []*api.ServiceEntry) bool {
		return len(got) == 1 && got[0].Checks.AggregatedStatus() == api.HealthMaint
	})
	if notes := maintenanceNotes(all[0]); notes != "drain" {
		t.Fatalf("reason %q", notes)
	}
	if err := n.Maintenance(t.Context(), false, ""); err != nil {
		t.Fatal(err)
	}
	c.await("the node to be back in rotation", true, count(1))
}

func maintenanceNotes(e *api.ServiceEntry) string {
	for _, check := range e.Checks {
		if strings.HasPrefix(check.CheckID, api.ServiceMaintPrefix) {
			return check.Notes
		}
	}
	return ""
}

func TestForgottenWhileDrainingStaysAway(t *testing.T) {
	t.Parallel()
	url := testkit.Consul(t)
	c := dial(t, url)
	n := start(t, url, "node-1")
	c.await("the node to pass", true, count(1))
	if err := n.Maintenance(t.Context(), true, "drain"); err != nil {
		t.Fatal(err)
	}
	if err := c.Agent().ServiceDeregister("node-1"); err != nil {
		t.Fatal(err)
	}
	// The wish said again is what Run does every few seconds: on a forgotten node it must neither fail nor announce.
	if err := n.Maintenance(t.Context(), true, "drain"); err != nil {
		t.Fatal(err)
	}
	c.await("the node to stay away", false, count(0))
	if err := n.Maintenance(t.Context(), false, ""); err != nil {
		t.Fatal(err)
	}
	c.await("the node to return when the drain is called off", true, count(1))
}

func TestMaintenanceOfKilledPredecessorIsLifted(t *testing.T) {
	t.Parallel()
	url := testkit.Consul(t)
	c := dial(t, url)
	if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "node-1", Name: service, Port: 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.Agent().EnableServiceMaintenance("node-1", "killed in its drain"); err != nil {
		t.Fatal(err)
	}
	start(t, url, "node-1")
	if got := c.await("the node to pass", true, count(1)); got[0].Service.Port != 8443 {
		t.Fatalf("port %d", got[0].Service.Port)
	}
}

func TestMaintenanceGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	s := testkit.StartConsul(t)
	n := start(t, s.URL, "node-1")
	dial(t, s.URL).await("the node to pass", true, count(1))
	s.Pause()
	defer s.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.Maintenance(ctx, true, "drain"); err == nil {
		t.Fatal("a frozen Consul cannot have answered")
	}
	n.log.await(t, "Consul is away or refuses", 1)
	before := time.Now()
	n.end()
	if took := time.Since(before); took > 10*time.Second {
		t.Fatalf("the farewell to a frozen Consul took %v", took)
	}
}

func TestEnvironmentOfConsulIsHonoured(t *testing.T) {
	got := make(chan string, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ ID string }
		if strings.HasSuffix(r.URL.Path, "/register") {
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			got <- body.ID + " " + r.Header.Get("X-Consul-Token")
		}
	}))
	defer srv.Close()
	t.Setenv(api.HTTPAddrEnvName, srv.URL)
	t.Setenv(api.HTTPTokenEnvName, "secret")
	n := start(t, "", "node-9")
	if v := <-got; v != "node-9 secret" {
		t.Fatalf("got %q", v)
	}
	n.end()
	if strings.Contains(n.log.String(), "secret") {
		t.Fatal("the token is in the log")
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := nodes.New(nodes.Config{HealthURL: "nonsense", DeregisterAfter: time.Second})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"NodeID", "Service", "Host", "Port", "HealthURL", "DeregisterAfter"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
	good := nodes.Config{NodeID: "n", Service: "s", Host: "h", Port: 1, HealthURL: "http://h/", DeregisterAfter: time.Minute}
	if _, err := nodes.New(good); err != nil {
		t.Fatal(err)
	}
	good.Addr = "gopher://h"
	if _, err := nodes.New(good); err == nil {
		t.Fatal("accepted Consul at gopher://")
	}
}

// lines is a log that can be waited for.
type lines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	wrote chan struct{} // holds a value when there is something new
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.wrote <- struct{}{}:
	default:
	}
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await blocks until text was logged n times.
func (l *lines) await(t *testing.T, text string, n int) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for strings.Count(l.String(), text) < n {
		select {
		case <-l.wrote:
		case <-limit:
			t.Fatalf("not logged %d times: %q in:\n%s", n, text, l)
		}
	}
}
