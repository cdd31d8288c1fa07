package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/shared/testkit"
)

// reply is an HTTP reply, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, method, url, body string, header map[string]string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := insecure().Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

var sdpHeader = map[string]string{"Content-Type": "application/sdp"}

// problem insists on a problem+json body whose status and detail make sense, and that no internal text is in it.
func problem(t *testing.T, r reply, status int) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d: %s", r.status, status, r.body)
	}
	var p struct {
		Status int
		Detail string
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("not a problem: %s: %s", r.header.Get("Content-Type"), r.body)
	}
	if p.Status != r.status || p.Detail == "" {
		t.Errorf("incomplete: %s", r.body)
	}
	for _, leak := range []string{"redis", "nats", "127.0.0.1", "dial", "goroutine", ".go:", "pion", "EOF"} {
		if strings.Contains(p.Detail, leak) {
			t.Errorf("internal text %q in %q", leak, p.Detail)
		}
	}
}

func TestRefusals(t *testing.T) {
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Auth.On = true
	n := start(t, cfg)
	const token = "secret"
	create := do(t, "POST", n.PrivateURL()+"/create/pub", `{"room":"tea","id":"alice","token":"`+token+`"}`,
		map[string]string{"Content-Type": "application/json"})
	if create.status != 200 || create.body != "pub set" {
		t.Fatalf("create: %+v", create)
	}
	bearer := func(h map[string]string, token string) map[string]string {
		out := map[string]string{"Authorization": "Bearer " + token}
		for k, v := range h {
			out[k] = v
		}
		return out
	}
	good := bearer(sdpHeader, token)
	for name, s := range map[string]struct {
		method, path, body string
		header             map[string]string
		want               int
	}{
		"wildcard room":              {"POST", "/pub/*/alice", "v=0", good, 400},
		"wildcard id":                {"POST", "/pub/tea/%3E", "v=0", good, 400},
		"script in an id":            {"POST", "/pub/tea/%22%3Cscript%3E", "v=0", good, 400},
		"dot":                        {"POST", "/pub/tea/a.b", "v=0", good, 400},
		"brace":                      {"POST", "/pub/t%7Bea%7D/alice", "v=0", good, 400},
		"slash in an id":             {"POST", "/pub/tea/a%2Fb", "v=0", good, 400},
		"line break":                 {"POST", "/pub/tea/a%0D%0Ab", "v=0", good, 400},
		"NUL":                        {"POST", "/pub/tea/a%00", "v=0", good, 400},
		"long room":                  {"POST", "/pub/" + strings.Repeat("r", 65) + "/alice", "v=0", good, 400},
		"long id":                    {"POST", "/pub/tea/" + strings.Repeat("i", 49), "v=0", good, 400},
		"empty suffix":               {"POST", "/pub/tea/alice+", "v=0", good, 400},
		"screen of nobody":           {"POST", "/pub/tea/-screen", "v=0", good, 400},
		"name comes before token":    {"POST", "/pub/*/alice", "v=0", sdpHeader, 400},
		"token comes before type":    {"POST", "/pub/tea/alice", "v=0", map[string]string{"Accept": "application/json"}, 401},
		"wrong type":                 {"POST", "/pub/tea/alice", "v=0", bearer(map[string]string{"Content-Type": "text/plain"}, token), 400},
		"no type":                    {"POST", "/pub/tea/alice", "v=0", bearer(nil, token), 400},
		"too large":                  {"POST", "/pub/tea/alice", strings.Repeat("a", 300<<10), good, 413},
		"malformed":                  {"POST", "/pub/tea/alice", "hello", good, 400},
		"empty":                      {"POST", "/pub/tea/alice", "", good, 400},
		"a description, no sections": {"POST", "/pub/tea/alice", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", good, 400},
		"PUT":                        {"PUT", "/pub/tea/alice", "", good, 405},
		"session of a dead node":     {"DELETE", "/pub/tea/alice/" + strings.Repeat("0", 48), "", good, 404},
		"unknown session":            {"DELETE", "/pub/tea/alice/" + strings.Repeat("0", 32) + n.instance, "", good, 404},
		"session that is none":       {"DELETE", "/pub/tea/alice/xyz", "", good, 404},
		"patch of an unknown one":    {"PATCH", "/pub/tea/alice/" + strings.Repeat("0", 48), "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", bearer(map[string]string{"Content-Type": "application/trickle-ice-sdpfrag"}, token), 404},
		"patch of another type":      {"PATCH", "/pub/tea/alice/" + strings.Repeat("0", 32) + n.instance, "{}", bearer(map[string]string{"Content-Type": "application/json"}, token), 400},
		"unknown path":               {"GET", "/nothing", "", nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			problem(t, do(t, s.method, n.PublicURL()+s.path, s.body, s.header), s.want)
		})
	}

	t.Run("bad token as the original clients read it", func(t *testing.T) {
		for name, h := range map[string]map[string]string{
			"none": sdpHeader, "wrong": bearer(sdpHeader, "x"), "empty": bearer(sdpHeader, ""),
		} {
			r := do(t, "POST", n.PublicURL()+"/pub/tea/alice", "v=0", h)
			if r.status != 401 || r.body != "bad token" || r.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: %+v", name, r)
			}
		}
		for name, path := range map[string]string{"another id": "/pub/tea/bob", "another room": "/pub/coffee/alice", "another role": "/sub/tea/alice"} {
			if r := do(t, "POST", n.PublicURL()+path, "v=0", good); r.status != 401 {
				t.Errorf("%s: %+v", name, r)
			}
		}
		// The token is for the person: full ids and the screen share, too. The body is what is wrong here.
		for _, id := range []string{"alice+2", "alice-screen", "alice-screen+x"} {
			if r := do(t, "POST", n.PublicURL()+"/pub/tea/"+id, "hello", good); r.status != 400 {
				t.Errorf("%s: %+v", id, r)
			}
		}
	})

	t.Run("nothing is left behind", func(t *testing.T) {
		for _, role := range []string{"pub", "sub"} {
			if r := do(t, "GET", n.PrivateURL()+"/list/"+role+"/tea", "", nil); r.status != 200 || r.body != "" {
				t.Errorf("%s: %+v", role, r)
			}
		}
		if p, v := n.sessions.Counts(); p+v != 0 {
			t.Errorf("%d sessions", p+v)
		}
	})
}

// A session URL of one resource is none of another.
func TestSessionURLsDoNotWander(t *testing.T) {
	n := startNodes(t, 1)[0]
	p := publish(t, n, "tea", "alice")
	session := p.Location()[strings.LastIndex(p.Location(), "/"):]
	for _, path := range []string{"/pub/tea/bob", "/pub/coffee/alice", "/sub/tea/alice"} {
		problem(t, do(t, "DELETE", n.PublicURL()+path+session, "", nil), 404)
	}
	if r := do(t, "DELETE", n.PublicURL()+"/pub/tea/alice"+session, "", nil); r.status != 200 {
		t.Errorf("DELETE: %+v", r)
	}
}

// While a backend is away new sessions are refused clearly and sessions go on; afterwards the node serves again without a restart.
func TestBackendsAway(t *testing.T) {
	redis := testkit.StartRedis(t)
	nats := testkit.NATSCluster(t, 1)
	c := &cluster{redis: redis.URL, nats: []string{nats[0].URL}}
	cfg := c.config(0)
	cfg.Auth.On = true
	n := start(t, cfg)
	token := func(role, id string) string {
		r := do(t, "POST", n.PrivateURL()+"/create/"+role, `{"room":"tea","id":"`+id+`"}`, map[string]string{"Content-Type": "application/json"})
		var out struct{ Token string }
		if err := json.Unmarshal([]byte(r.body), &out); err != nil || out.Token == "" {
			t.Fatalf("create: %+v", r)
		}
		return out.Token
	}
	pubConf, subConf := clientConfig(n, "tea", "alice"), clientConfig(n, "tea", "bob")
	pubConf.Token, subConf.Token = token("pub", "alice"), token("sub", "bob")
	p, err := client.Publish(within(t, 10*time.Second), pubConf, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	v := subscribeOffering(t, subConf, 1, 1)
	plays(t, v, "alice", "audio0")

	redis.Stop()
	began := time.Now()
	r := do(t, "POST", n.PublicURL()+"/pub/tea/alice", "v=0", map[string]string{"Authorization": "Bearer " + pubConf.Token, "Content-Type": "application/sdp"})
	problem(t, r, 503)
	if r.header.Get("Retry-After") == "" || time.Since(began) > 6*time.Second {
		t.Errorf("after %v: %+v", time.Since(began), r)
	}
	await(t, "readiness to say so", 10*time.Second, func() bool {
		ready := do(t, "GET", n.PrivateURL()+"/readiness", "", nil)
		return ready.status == 200 && strings.Contains(ready.body, `"status":"degraded"`) && strings.Contains(ready.body, `"redis":"down"`)
	})
	if live := do(t, "GET", n.PrivateURL()+"/liveness", "", nil); live.status != 200 {
		t.Errorf("liveness: %+v", live)
	}
	more(t, v, "alice", "audio0", 50)
	redis.Start() // empty: the node announces its publisher again
	await(t, "the publisher to be listed again", 30*time.Second, func() bool {
		return do(t, "GET", n.PrivateURL()+"/list/pub/tea", "", nil).body == "alice"
	})

	nats[0].Stop()
	more(t, v, "alice", "audio0", 50)
	await(t, "readiness to say so", 10*time.Second, func() bool {
		return strings.Contains(do(t, "GET", n.PrivateURL()+"/readiness", "", nil).body, `"nats":"down"`)
	})
	nats[0].Start()
	await(t, "NATS to be back", 10*time.Second, func() bool {
		return strings.Contains(do(t, "GET", n.PrivateURL()+"/readiness", "", nil).body, `"status":"ok"`)
	})
	subConf.ID, subConf.Token = "carol", token("sub", "carol")
	plays(t, subscribeOffering(t, subConf, 0, 0), "alice", "audio0")
}

// A node that starts before its backends waits for them: it answers, is not ready, and becomes so by itself.
func TestStartBeforeBackends(t *testing.T) {
	redis := testkit.StartRedis(t)
	nats := testkit.NATSCluster(t, 1)
	redis.Stop()
	nats[0].Stop()
	cfg := (&cluster{redis: redis.URL, nats: []string{nats[0].URL}}).config(0)
	n := launch(t, cfg)
	await(t, "the private port", 5*time.Second, func() bool {
		resp, err := http.Get(n.PrivateURL() + "/liveness")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 200
	})
	if r := do(t, "GET", n.PrivateURL()+"/readiness", "", nil); r.status != 503 {
		t.Errorf("readiness: %+v", r)
	}
	r := do(t, "POST", n.PublicURL()+"/pub/tea/alice", "v=0", sdpHeader)
	problem(t, r, 503)
	redis.Start()
	nats[0].Start()
	awaitReady(t, n)
	publish(t, n, "tea", "alice")
}
