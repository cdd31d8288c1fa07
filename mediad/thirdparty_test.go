package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weever/shared/testkit"
	"weever/site"
)

// Clients that others wrote, in a real browser and on a page of another origin, against nodes with auth on behind a balancer.

// clientBundles is where `make setup` puts one module for each browser client.
const clientBundles = "../bin/tools/clients"

// traded is one request and its reply, as they went over the wire.
type traded struct {
	method, path, body string
	header             http.Header
	status             int
	reply              http.Header
}

// recorder is an HTTP hop that keeps what passes.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	seen []traded
}

func record(t *testing.T, target string) *recorder {
	t.Helper()
	rec := &recorder{}
	rec.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := rec.pass(w, r, target); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}))
	t.Cleanup(rec.Close)
	return rec
}

func (rec *recorder) pass(w http.ResponseWriter, r *http.Request, target string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	out.Header = r.Header.Clone()
	resp, err := insecure().Transport.RoundTrip(out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	rec.mu.Lock()
	rec.seen = append(rec.seen, traded{r.Method, r.URL.Path, string(body), r.Header.Clone(), resp.StatusCode, resp.Header.Clone()})
	rec.mu.Unlock()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	return stream(w, resp.Body)
}

// stream passes on what comes when it comes: an event stream does not end.
func stream(w http.ResponseWriter, from io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil && n == 0 {
			return nil // its end, or the client's
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
	}
}

// find gives the exchanges of a method below a path so far. The POST of an endpoint, PATCH and DELETE of its session lie below it.
// An empty path is above all.
func (rec *recorder) find(method, path string) []traded {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	var found []traded
	for _, e := range rec.seen {
		if e.method == method && (path == "" || e.path == path || strings.HasPrefix(e.path, path+"/") || strings.HasPrefix(e.path, path+"+")) {
			found = append(found, e)
		}
	}
	return found
}

// servedBy is the node that answered.
func (e traded) servedBy() string { return e.reply.Get("X-Served-By") }

// cloud is three nodes with auth on, a balancer before them and a recorder before that.
type cloud struct {
	nodes    []*testNode
	balancer *testkit.Balancer
	*recorder
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := newCluster(t, 3)
	out := &cloud{}
	for i := range 3 {
		cfg := c.config(i)
		cfg.Auth.On = true
		out.nodes = append(out.nodes, start(t, cfg))
	}
	out.balancer = balance(t, "", out.nodes)
	out.recorder = record(t, out.balancer.URL)
	return out
}

// token makes one, at any node.
func (c *cloud) token(t *testing.T, role, rm, id string) string {
	t.Helper()
	r := do(t, "POST", c.nodes[0].PrivateURL()+"/create/"+role, fmt.Sprintf(`{"room":%q,"id":%q}`, rm, id), map[string]string{"Content-Type": "application/json"})
	var out struct{ Token string }
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || out.Token == "" {
		t.Fatalf("create: %+v", r)
	}
	return out.Token
}

// live lists a room's publishers.
func (c *cloud) live(t *testing.T, rm string) string {
	t.Helper()
	return do(t, "GET", c.nodes[0].PrivateURL()+"/list/pub/"+rm, "", nil).body
}

// place is where a client goes, as JavaScript.
func (c *cloud) place(t *testing.T, role, rm, id string) string {
	t.Helper()
	return fmt.Sprintf(`{base: %q, room: %q, id: %q, token: %q}`, c.URL, rm, id, c.token(t, role, rm, id))
}

// stagePage opens a page from which all clients can be driven. It is served on localhost, for the camera, and on a port of its own, so
// that the API is another origin's.
func stagePage(t *testing.T) context.Context {
	t.Helper()
	if _, err := os.Stat(clientBundles + "/eyevinn-player.js"); err != nil {
		t.Fatalf("the clients of others are missing (%v): run make setup", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/stage.html", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<!doctype html><title>Clients</title><link rel="icon" href="data:,"><script type="module" src="/driver/clients.js"></script>`)
	})
	mux.Handle("/driver/", http.StripPrefix("/driver/", http.FileServerFS(os.DirFS("../site/test/thirdparty"))))
	mux.Handle("/clients/", http.StripPrefix("/clients/", http.FileServerFS(os.DirFS(clientBundles))))
	mux.Handle("/", http.FileServerFS(site.FS))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p := page(t, browser(t), strings.Replace(server.URL, "127.0.0.1", "localhost", 1)+"/stage.html")
	await(t, "the clients to be loaded", 10*time.Second, func() bool { return eval[bool](t, p, `return Boolean(window.stage)`) })
	return p
}

// seesAndHears waits until a player has shown and heard more than it has now.
func seesAndHears(t *testing.T, p context.Context, name string) { //nolint:revive // the test comes first
	t.Helper()
	got := func() received { return eval[received](t, p, `return stage.got('`+name+`')`) }
	was := got()
	var now received
	defer func() {
		if t.Failed() {
			t.Logf("%s had %+v, has %+v", name, was, now)
		}
	}()
	await(t, name+" to see and hear", 15*time.Second, func() bool {
		now = got()
		return now.Frames >= was.Frames+10 && now.Audio >= was.Audio+20
	})
}

// habits says how a client does things that the node has to bear.
type habits struct {
	trickles    bool
	tag         string // the header that brings the ETag with its PATCH; If-Match by RFC 9725 section 4.3.1
	closesFirst bool   // it closes the connection before it sends DELETE, so that there may be nothing left to delete
}

// check compares what a client was seen to send for one session with its habits, and what it was answered.
func (h habits) check(t *testing.T, c *cloud, who, path string) {
	t.Helper()
	for _, p := range c.find("POST", path) {
		if !strings.HasSuffix(p.path, "/events") && (p.status != 201 || !strings.HasPrefix(p.header.Get("Authorization"), "Bearer ")) {
			t.Errorf("%s: POST %s: %d", who, p.path, p.status)
		}
	}
	patches := c.find("PATCH", path)
	if (len(patches) > 0) != h.trickles {
		t.Errorf("%s sent %d PATCHes", who, len(patches))
	}
	for _, p := range patches {
		if p.status != 204 && p.status != 200 {
			t.Errorf("%s: PATCH %q: %d", who, p.body, p.status)
		}
		for _, name := range []string{"If-Match", "ETag"} {
			if has := p.header.Get(name) != ""; has != (name == h.tag) {
				t.Errorf("%s: %s is %q; the client is not what it was", who, name, p.header.Get(name))
			}
		}
	}
	await(t, "the DELETE of "+who, 5*time.Second, func() bool { return len(c.find("DELETE", path)) > 0 })
	for _, d := range c.find("DELETE", path) {
		if d.status != 200 && (d.status != 404 || !h.closesFirst) {
			t.Errorf("%s: DELETE: %d", who, d.status)
		}
	}
}

// playElsewhere starts a player on another node than the publisher's.
func (c *cloud) playElsewhere(t *testing.T, p context.Context, client, rm, home string) { //nolint:revive // the test comes first
	t.Helper()
	place := c.place(t, "sub", rm, client)
	posts := func() []traded { return c.posts("/sub/" + rm + "/" + client) }
	for range 5 {
		before := len(posts())
		passTurn(t, c.balancer, home) // a preflight and the POST take the turns of the two others, unless somebody comes between
		eval[any](t, p, fmt.Sprintf(`await stage.play(%q, %q, %s)`, client, client, place))
		await(t, client+" to have POSTed", 10*time.Second, func() bool { return len(posts()) > before })
		if posts()[before].servedBy() != home {
			return
		}
		eval[any](t, p, fmt.Sprintf(`await stage.stop(%q)`, client))
	}
	t.Fatalf("%s always lands where the publisher is", client)
}

// posts gives the POSTs that opened sessions.
func (c *cloud) posts(path string) []traded {
	return slices.DeleteFunc(c.find("POST", path), func(e traded) bool { return strings.HasSuffix(e.path, "/events") })
}

// Each publishing client is seen and heard by each playing client, on another node; all trickle and end as they are used to.
func TestClientsOfOthers(t *testing.T) {
	publishers := map[string]habits{
		"medooze": {trickles: true, tag: "If-Match", closesFirst: true},
		"eyevinn": {trickles: true, tag: "ETag"},
		"weever":  {trickles: true, tag: "If-Match", closesFirst: true},
	}
	players := map[string]habits{
		"medooze": {trickles: true, closesFirst: true},
		"eyevinn": {},
		"weever":  {trickles: true, tag: "If-Match", closesFirst: true},
	}
	c := newCloud(t)
	p := stagePage(t)
	for pub, habit := range publishers {
		t.Run(pub, func(t *testing.T) {
			rm := "room-of-" + pub
			eval[any](t, p, fmt.Sprintf(`await stage.publish('pub', %q, %s)`, pub, c.place(t, "pub", rm, "alice")))
			await(t, "the publisher to be live", 10*time.Second, func() bool { return strings.HasPrefix(c.live(t, rm), "alice") })
			home := c.posts("/pub/" + rm)[0].servedBy()
			for player := range players {
				c.playElsewhere(t, p, player, rm, home)
				seesAndHears(t, p, player)
			}
			// Its event stream has been redirected to the session's node, unless the balancer hit that by chance.
			await(t, "medooze's events", 5*time.Second, func() bool { return eval[int](t, p, `return stage.events('medooze')`) == 1 })
			for _, name := range []string{"medooze", "eyevinn", "pub"} {
				eval[any](t, p, fmt.Sprintf(`await stage.stop(%q)`, name))
			}
			await(t, "the viewer to be told", 5*time.Second, func() bool { return eval[int](t, p, `return stage.peers('weever')`) == 0 })
			eval[any](t, p, `await stage.stop('weever')`)
			habit.check(t, c, pub+" publishing", "/pub/"+rm)
			for player, habit := range players {
				habit.check(t, c, player+" playing", "/sub/"+rm+"/"+player)
			}
			for _, n := range c.nodes {
				await(t, "all sessions to end", 5*time.Second, func() bool { p, v := n.sessions.Counts(); return p+v == 0 })
			}
		})
	}
	c.checkForeign(t)
	if faults := eval[[]string](t, p, `return stage.faults`); len(faults) > 0 {
		t.Errorf("in the page: %q", faults)
	}
}

// checkForeign makes sure that PATCH and DELETE were also sent to nodes that do not own the session.
func (c *cloud) checkForeign(t *testing.T) {
	t.Helper()
	for _, method := range []string{"PATCH", "DELETE"} {
		foreign := 0
		for _, e := range c.find(method, "") {
			if e.servedBy() != ownerOf(t, c.nodes, e.path) {
				foreign++
			}
		}
		if foreign == 0 {
			t.Errorf("no %s came to another node than the owner", method)
		}
	}
}
