package nodes_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"weever/shared/nodes"
	"weever/shared/testkit"
)

// seen waits until a node has read a list that looks right.
func (n *node) seen(t *testing.T, what string, right func([]nodes.Peer) bool) {
	t.Helper()
	awaitThat(t, what, func() bool { return right(n.Peers()) })
}

func awaitThat(t *testing.T, what string, there func() bool) {
	t.Helper()
	for limit := time.After(30 * time.Second); !there(); {
		select {
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (n *node) upIs(t *testing.T, up bool) {
	t.Helper()
	awaitThat(t, fmt.Sprintf("Up to be %v", up), func() bool { return n.Up() == up })
}

// Each node sees the others come, change their state, start anew with another version, and go, and says so once.
func TestPeers(t *testing.T) {
	t.Parallel()
	url := testkit.Consul(t)
	a := startAs(t, url, "a", map[string]string{"epoch": "7", "region": "eu", "version": "1"})
	if a.Peers() != nil {
		t.Errorf("before Consul answered: %v", a.Peers())
	}
	self := nodes.Peer{ID: "a", Addr: "127.0.0.1:8443", Region: "eu", Version: "1", Epoch: 7, Status: nodes.Passing}
	b := nodes.Peer{ID: "b", Addr: "127.0.0.1:8443", Region: "us", Version: "1", Epoch: 8, Status: nodes.Passing}
	other := startAs(t, url, "b", map[string]string{"epoch": "8", "region": "us", "version": "1"})
	both := func(b nodes.Peer) func([]nodes.Peer) bool {
		return func(got []nodes.Peer) bool { return slices.Equal(got, []nodes.Peer{self, b}) }
	}
	a.seen(t, "both", both(b))
	a.upIs(t, true)
	other.ready.Store(false)
	b.Status = nodes.Critical
	a.seen(t, "a node that is not ready", both(b))
	if err := other.Maintenance(t.Context(), true, "drain"); err != nil {
		t.Fatal(err)
	}
	b.Status = nodes.Maintenance
	a.seen(t, "a node that drains", both(b))
	other.end()
	a.seen(t, "one alone", func(got []nodes.Peer) bool { return slices.Equal(got, []nodes.Peer{self}) })
	startAs(t, url, "b", map[string]string{"epoch": "9", "region": "us", "version": "2"})
	b.Epoch, b.Version, b.Status = 9, "2", nodes.Passing
	a.seen(t, "another version", both(b))
	for what, times := range map[string]int{"what=come": 2, "what=gone": 1, `what="it speaks another version"`: 1, "other=a": 0} {
		if n := strings.Count(a.log.String(), what); n != times {
			t.Errorf("%s was logged %d times, want %d:\n%s", what, n, times, a.log)
		}
	}
}

// While Consul is away the last list holds; what a new one says is then taken.
func TestPeersWhileConsulIsAway(t *testing.T) {
	t.Parallel()
	s := testkit.StartConsul(t)
	a, b := start(t, s.URL, "a"), start(t, s.URL, "b")
	two := func(got []nodes.Peer) bool {
		return len(got) == 2 && got[0].Status == nodes.Passing && got[1].Status == nodes.Passing
	}
	a.seen(t, "both", two)
	s.Stop()
	a.log.await(t, "the last list holds", 1)
	a.upIs(t, false)
	if !two(a.Peers()) {
		t.Errorf("without Consul there are %v", a.Peers())
	}
	b.end()
	s.Start()
	a.seen(t, "who is left", func(got []nodes.Peer) bool { return len(got) == 1 && got[0].ID == "a" })
	a.upIs(t, true)
}

// The agent is started anew, empty, while a node drains: the node stays away until the drain is called off. One that does not drain is
// there again by itself, and tells of both.
func TestAgentStartsAnewWhileANodeDrains(t *testing.T) {
	t.Parallel()
	s := testkit.StartConsul(t)
	draining, other := start(t, s.URL, "a"), start(t, s.URL, "b")
	other.seen(t, "both", func(got []nodes.Peer) bool { return len(got) == 2 })
	if err := draining.Maintenance(t.Context(), true, "drain"); err != nil {
		t.Fatal(err)
	}
	other.seen(t, "the drain", func(got []nodes.Peer) bool { return len(got) == 2 && got[0].Status == nodes.Maintenance })
	s.Stop()
	draining.upIs(t, false)
	s.Start()
	draining.upIs(t, true) // its wish was said to the new agent
	c := dial(t, s.URL)
	if got := c.await("the other", true, count(1)); got[0].Service.ID != "b" {
		t.Errorf("there is %s", got[0].Service.ID)
	}
	if got := c.await("nobody else", false, func(got []*api.ServiceEntry) bool { return len(got) > 0 }); len(got) != 1 {
		t.Errorf("there are %d", len(got))
	}
	if err := draining.Maintenance(t.Context(), false, ""); err != nil {
		t.Fatal(err)
	}
	c.await("both", true, count(2))
}

// What no Consul says: too much, nonsense, indexes that mean nothing. It is bounded, asked again at a measured pace, and harms nobody.
func TestHostileCatalogue(t *testing.T) {
	entry := func(id string) map[string]any {
		return map[string]any{"Service": map[string]any{
			"ID": id, "Address": "h", "Port": 1, "Meta": map[string]string{"epoch": "-9", "region": "eu"},
		}, "Checks": []any{map[string]string{"CheckID": "x", "Status": "strange"}}}
	}
	var huge []any
	for i := range 3000 {
		huge = append(huge, entry(fmt.Sprintf("%04d", i)))
	}
	long := entry("long")
	long["Service"].(map[string]any)["Meta"] = map[string]string{"version": strings.Repeat("v", 300)} //nolint:forcetypeassert // as made above
	nonsense := []any{nil, map[string]any{}, long, entry(""), map[string]any{"Service": map[string]any{"ID": "n"}, "Checks": []any{nil}}, entry("good"), entry("good")}
	var reply atomic.Pointer[[]byte]
	var asked, index atomic.Int64
	say := func(v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		reply.Store(&text)
	}
	say(nonsense)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/health/") {
			asked.Add(1)
			w.Header().Set("X-Consul-Index", strconv.FormatInt(index.Load(), 10))
			_, _ = w.Write(*reply.Load())
		}
	}))
	defer srv.Close()
	n := start(t, srv.URL, "a")
	n.seen(t, "the only one that makes sense", func(got []nodes.Peer) bool {
		return slices.Equal(got, []nodes.Peer{{ID: "good", Addr: "h:1", Region: "eu", Status: nodes.Critical}})
	})
	before, since := asked.Load(), time.Now()
	index.Store(1 << 40)
	say(huge)
	n.seen(t, "as many as it keeps", func(got []nodes.Peer) bool { return len(got) == 1024 })
	index.Store(3)
	say(strings.Repeat("x", 10<<20))
	n.log.await(t, "the last list holds", 1)
	if got := n.Peers(); len(got) != 1024 {
		t.Errorf("after a reply that is too long: %d", len(got))
	}
	if times, most := asked.Load()-before, int64(time.Since(since)/(200*time.Millisecond))+3; times > most {
		t.Errorf("asked %d times, want %d at most", times, most)
	}
	if lines := strings.Count(n.log.String(), "news of another node"); lines > 2*32+2 {
		t.Errorf("%d lines of log", lines)
	}
}
