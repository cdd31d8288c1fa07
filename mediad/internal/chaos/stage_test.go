package chaos

import (
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"weever/shared/eventually"
	"weever/shared/lease"
	"weever/shared/redisdb"
	"weever/shared/store"
	"weever/shared/testkit"
	"weever/shared/testkit/netns"
)

// stage is an installation: a network, what nodes live on, three nodes and a balancer in front of them. Redis, Consul, the balancer and
// the clients are on this machine, each NATS server and each node on one of its own. It is the test's goroutine's.
type stage struct {
	*audience
	programs

	lan      *netns.LAN
	redis    *testkit.RedisServer
	consul   *testkit.ConsulServer
	nats     []*natsServer
	nodes    []*node
	balancer *testkit.ShippedBalancer

	db     *redisdb.DB // to look into Redis with
	store  *store.Store
	leases *lease.Leases
	dead   []string // instances of processes that have ended

	pulse time.Duration // of the people of the next crowd
}

// audience is who hears of failures: the fault that is on at the moment. What a stage is made of lives as long as the test around all.
type audience struct {
	testing.TB
	now testing.TB
}

// Helper implements testing.TB, as do the others.
func (a *audience) Helper()                      { a.now.Helper() }
func (a *audience) Fatal(args ...any)            { a.now.Helper(); a.now.Fatal(args...) }
func (a *audience) Fatalf(s string, args ...any) { a.now.Helper(); a.now.Fatalf(s, args...) }
func (a *audience) Error(args ...any)            { a.now.Helper(); a.now.Error(args...) }
func (a *audience) Errorf(s string, args ...any) { a.now.Helper(); a.now.Errorf(s, args...) }
func (a *audience) Log(args ...any)              { a.now.Helper(); a.now.Log(args...) }
func (a *audience) Logf(s string, args ...any)   { a.now.Helper(); a.now.Logf(s, args...) }

// newStage returns when everything is up and knows of each other. It lives until t ends; row hears of failures.
func newStage(t, row *testing.T, p programs) *stage {
	row.Helper()
	began := time.Now()
	s := &stage{audience: &audience{TB: t, now: row}, programs: p}
	s.lan = netns.NewLAN(s)
	host := s.lan.Host.String()
	s.redis = testkit.StartRedisAt(s, host, "--appendonly", "yes")
	db, err := redisdb.Open(s.redis.URL, namespace)
	if err != nil {
		s.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s.db, s.store, s.leases = db, store.New(db, nil), lease.New(db)
	s.consul = testkit.StartConsulAt(s, host)
	for i := range 3 {
		s.nats = append(s.nats, newNATS(s, i))
	}
	for _, n := range s.nats {
		n.start()
	}
	s.meshed()
	s.balancer = testkit.HAProxyFile(s, p.config, "CONSUL_DNS="+s.consul.DNS, "CONSUL_DOMAIN=consul")
	for i := range 3 {
		s.nodes = append(s.nodes, newNode(s, i))
	}
	for _, n := range s.nodes {
		n.launch()
	}
	for _, n := range s.nodes {
		n.ready()
	}
	s.whole()
	s.Logf("the stage is set after %v", time.Since(began).Round(time.Millisecond))
	return s
}

// close ends what runs. What is left is removed when the test ends.
func (s *stage) close() {
	for _, n := range s.nodes {
		n.Stop()
	}
	for _, n := range s.nats {
		n.Stop()
	}
	s.balancer.Stop()
	s.consul.Stop()
	s.redis.Stop()
}

// redisPort is for cutting ways to Redis.
func (s *stage) redisPort() uint16 {
	u, err := url.Parse(s.redis.URL)
	if err != nil {
		s.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		s.Fatal(err)
	}
	return uint16(port)
}

// whole waits until nothing is amiss any more: all parts run and know each other.
func (s *stage) whole() {
	s.Helper()
	s.meshed()
	await(s, "the balancer to have all nodes", 30*time.Second, func() error {
		at, err := s.balancer.Nodes()
		if err == nil && len(at) != len(s.nodes) {
			err = fmt.Errorf("it has %v", at)
		}
		return err
	})
	for _, n := range s.nodes {
		n.ready()
	}
}

// await looks until ok gives nil, or fails the test, saying what it waited for and what was amiss last.
func await(t testing.TB, what string, limit time.Duration, ok func() error) {
	t.Helper()
	eventually.Nil(t, limit, what, ok)
}

// tryUntil looks until ok gives nil or the time has come, and returns what it gave last.
func tryUntil(by time.Time, ok func() error) error {
	return eventually.Try(time.Until(by), ok)
}

// hold lets a fault last.
func hold(d time.Duration) { <-time.After(d) }
