package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/flagval"
	"weever/mediad/internal/ratelimit"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/logtest"
	"weever/shared/room"
	"weever/shared/testkit"
	"weever/shared/testkit/cable"
)

// The limits per client look behind proxies that are trusted, and behind no others.
func TestRateLimitPerClient(t *testing.T) {
	c := newCluster(t, 1)
	for name, trusted := range map[string]bool{"behind a trusted proxy": true, "behind somebody": false} {
		t.Run(name, func(t *testing.T) {
			cfg := c.config(0)
			cfg.Public.RatePerIP = ratelimit.Rate{Count: 3, Per: time.Hour}
			if trusted {
				cfg.Public.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
			n := start(t, cfg)
			from := func(client string) map[string]string {
				return map[string]string{"X-Forwarded-For": client, "Content-Type": "application/sdp", "Origin": "http://localhost:1"}
			}
			for i, method := range []string{"POST", "PATCH", "DELETE"} {
				path := "/pub/tea/alice" + []string{"", "/x", "/x"}[i]
				if r := do(t, method, n.PublicURL()+path, "", from("192.0.2.1")); r.status == 429 {
					t.Errorf("%s is refused too early", method)
				}
			}
			r := do(t, "POST", n.PublicURL()+"/pub/tea/alice", "", from("192.0.2.1"))
			problem(t, r, 429)
			if r.header.Get("Retry-After") == "" || r.header.Get("Access-Control-Allow-Origin") == "" {
				t.Errorf("a page cannot see how long to wait: %v", r.header)
			}
			if r := do(t, "GET", n.PublicURL()+"/pub/tea/alice", "", from("192.0.2.1")); r.status != 200 {
				t.Errorf("GET changes nothing and is refused: %+v", r)
			}
			for name, r := range map[string]reply{
				"a guess at a token": do(t, "OPTIONS", n.PublicURL()+"/pub/tea/alice", "", map[string]string{"Authorization": "Bearer x", "X-Forwarded-For": "192.0.2.1"}),
				"what is passed on":  do(t, "GET", n.PublicURL()+"/pub/tea/alice/"+strings.Repeat("0", 48), "", from("192.0.2.1")),
			} {
				if r.status != 429 {
					t.Errorf("%s is not counted: %d", name, r.status)
				}
			}
			if r := do(t, "POST", n.PublicURL()+"/pub/tea/alice", "", from("192.0.2.2")); (r.status == 429) == trusted {
				t.Errorf("another client: %d", r.status)
			}
		})
	}
}

func TestRateLimitPerNode(t *testing.T) {
	cfg := newCluster(t, 1).config(0)
	cfg.Public.RatePerNode = ratelimit.Rate{Count: 5, Per: time.Minute}
	n := start(t, cfg)
	for range 5 {
		problem(t, do(t, "DELETE", n.PublicURL()+"/pub/tea/alice/x", "", nil), 404)
	}
	r := do(t, "DELETE", n.PublicURL()+"/pub/tea/alice/x", "", nil)
	problem(t, r, 429)
	if r.header.Get("Retry-After") != "12" {
		t.Errorf("Retry-After %q, want 12", r.header.Get("Retry-After"))
	}
}

func TestSessionsPerAddress(t *testing.T) {
	cfg := newCluster(t, 1).config(0)
	cfg.Public.SessionsPerIP = 2
	n := start(t, cfg)
	first := publish(t, n, "tea", "alice")
	publish(t, n, "tea", "bob")
	r := do(t, "POST", n.PublicURL()+"/pub/tea/carol", first.PeerConnection().LocalDescription().SDP, sdpHeader)
	problem(t, r, 429)
	if err := first.Stop(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	await(t, "the first session's end", 5*time.Second, func() bool { p, _ := n.sessions.Counts(); return p == 1 })
	publish(t, n, "tea", "carol")
}

// A page whose own name was made to point to this machine gets nothing from those handlers that trust whoever reaches them.
func TestOtherNamesAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	as := func(n *testNode, base, path, host string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := insecure().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	open, guarded := c.config(0), c.config(1)
	open.Public.CORSDomains = []string{"example.org"}
	guarded.Auth.On = true
	guarded.Private.AdminToken = flagval.NewSecret("admin")
	openNode, guardedNode := start(t, open), start(t, guarded)
	for host, want := range map[string]int{
		"localhost": 200, "LocalHost:99": 200, "127.0.0.1:99": 200, "[::1]:99": 200, "a.localhost": 200,
		"evil.example": 403, "evil.example:8443": 403, "localhost.evil.example": 403, "evil-localhost": 403, "127.0.0.1.evil.example": 403,
	} {
		if got := as(openNode, openNode.PrivateURL(), "/list/pub/tea", host); got != want {
			t.Errorf("private API as %s: %d, want %d", host, got, want)
		}
		if got := as(openNode, openNode.PublicURL(), "/pub/tea/alice", host); got != want {
			t.Errorf("public API as %s: %d, want %d", host, got, want)
		}
	}
	if got := as(openNode, openNode.PublicURL(), "/pub/tea/alice", "sfu.example.org"); got != 200 {
		t.Errorf("as a name below --cors-domain: %d", got)
	}
	if got := as(guardedNode, guardedNode.PrivateURL(), "/liveness", "n1.internal"); got != 200 {
		t.Errorf("private API with a token, by any name: %d", got)
	}
	if got := as(guardedNode, guardedNode.PublicURL(), "/pub/tea/alice", "sfu.example"); got != 200 {
		t.Errorf("public API with auth, by any name: %d", got)
	}
}

// What a form of a foreign page can send without asking starts nothing and sets nothing.
func TestFormsAreRefused(t *testing.T) {
	n := startNodes(t, 1)[0]
	offer := publish(t, n, "tea", "alice").PeerConnection().LocalDescription().SDP
	for _, form := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
		h := map[string]string{"Content-Type": form, "Origin": "https://evil.example"}
		r := do(t, "POST", n.PublicURL()+"/pub/tea/mallory", offer, h)
		problem(t, r, 400)
		if r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q: a foreign page may read the reply", form)
		}
		if r := do(t, "POST", n.PrivateURL()+"/create/pub", `{"room":"tea","id":"mallory","token":"t"}`, h); r.status/100 != 4 {
			t.Errorf("%q sets a token: %+v", form, r)
		}
	}
}

// The token that opened a session stays good for it while Redis is away; no other does.
func TestTokenOfASession(t *testing.T) {
	redis := testkit.StartRedis(t)
	nats := testkit.NATSCluster(t, 2)
	c := &cluster{redis: redis.URL, nats: []string{nats[0].URL, nats[1].URL}}
	var nodes []*testNode
	for i := range 2 {
		cfg := c.config(i)
		cfg.Auth.On = true
		nodes = append(nodes, start(t, cfg))
	}
	setToken(t, nodes[0], room.Pub, "tea", "alice", "right")
	conf := clientConfig(nodes[0], "tea", "alice")
	conf.Token = "right"
	p, err := client.Publish(within(t, 10*time.Second), conf, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	patch := func(n *testNode, token string) int {
		return do(t, "PATCH", n.PublicURL()+pathOf(t, p.Location()), oneCandidate,
			map[string]string{"Content-Type": sdpfrag.ContentType, "Authorization": "Bearer " + token}).status
	}
	for i, n := range nodes {
		if got := patch(n, "wrong"); got != 401 {
			t.Errorf("node %d, a wrong token: %d", i, got)
		}
	}
	redis.Stop()
	for i, n := range nodes {
		if got := patch(n, "right"); got != 204 {
			t.Errorf("node %d, the session's token, Redis away: %d", i, got)
		}
		if got := patch(n, "wrong"); got != 503 {
			t.Errorf("node %d, a wrong token, Redis away: %d", i, got)
		}
	}
}

// A kick that a node could not hear of ends the session within two seconds of the node's return.
func TestKickAfterAMissedMessage(t *testing.T) {
	redis := testkit.StartRedis(t)
	nats := testkit.NATSCluster(t, 1)
	path := cable.New(t, strings.TrimPrefix(redis.URL, "redis://"))
	far := &cluster{redis: "redis://" + path.Addr, nats: []string{nats[0].URL}}
	near := &cluster{redis: redis.URL, nats: far.nats}
	cut, other := start(t, far.config(0)), start(t, near.config(1))
	p := publish(t, cut, "tea", "alice")
	v := subscribe(t, cut, "tea", "bob")
	path.Cut()
	for _, role := range []string{"pub/tea/alice", "sub/tea/bob"} {
		if r := do(t, "DELETE", other.PrivateURL()+"/"+role, "", nil); r.status != 204 {
			t.Fatalf("kick: %+v", r)
		}
	}
	path.Heal()
	deadline := time.After(2 * time.Second)
	for what, done := range map[string]<-chan struct{}{"publisher": p.Done(), "viewer": v.Done()} {
		select {
		case <-done:
		case <-deadline:
			t.Fatalf("the %s lives on", what)
		}
	}
}

// Who sends slowly, or not at all, holds nothing for long.
func TestSlowClients(t *testing.T) {
	n := startNodes(t, 1)[0]
	addr := strings.TrimPrefix(n.PublicURL(), "http://")
	longest := map[string]time.Duration{
		"POST /pub/tea/al": headerTimeout,
		"POST /pub/tea/alice HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 5000\r\n\r\nv=": readTimeout,
	}
	began := time.Now()
	results := make(chan string, len(longest))
	for begin, limit := range longest {
		go func() {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				results <- err.Error()
				return
			}
			defer conn.Close()
			_, _ = conn.Write([]byte(begin))
			_ = conn.SetReadDeadline(began.Add(limit + 3*time.Second))
			if _, err = io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				results <- "still open: " + strings.SplitN(begin, "\r", 2)[0]
				return
			}
			results <- ""
		}()
	}
	for range longest {
		if r := <-results; r != "" {
			t.Error(r)
		}
	}
}

// The log at its most talkative names no token, no session, no ICE password and no description.
func TestLogsKeepSecrets(t *testing.T) {
	c := newCluster(t, 2)
	var log logtest.Buffer
	var nodes []*testNode
	for i := range 2 {
		cfg := c.config(i)
		cfg.Auth.On, cfg.LogLevel = true, -4
		nodes = append(nodes, startLogging(t, cfg, &log))
	}
	tokens := []string{"secret-of-alice", "secret-of-bob", "secret-of-nobody"}
	setToken(t, nodes[0], room.Pub, "tea", "alice", tokens[0])
	setToken(t, nodes[0], room.Sub, "tea", "bob", tokens[1])
	pubConf, subConf, badConf := clientConfig(nodes[0], "tea", "alice"), clientConfig(nodes[1], "tea", "bob"), clientConfig(nodes[1], "tea", "eve")
	pubConf.Token, subConf.Token, badConf.Token = tokens[0], tokens[1], tokens[2]
	p, err := client.Publish(within(t, 10*time.Second), pubConf, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	v := subscribeOffering(t, subConf, 1, 1)
	plays(t, v, "alice", "audio0")
	if _, err := client.Publish(within(t, 10*time.Second), badConf, client.Microphone()); err == nil {
		t.Fatal("a token that nobody made opens the door")
	}
	secrets := append(tokens, iceSecrets(t, p.PeerConnection().LocalDescription().SDP)...)
	secrets = append(secrets, iceSecrets(t, p.PeerConnection().RemoteDescription().SDP)...)
	if err := p.ICERestart(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, iceSecrets(t, p.PeerConnection().LocalDescription().SDP)...)
	for _, at := range []string{p.Location(), v.Location()} {
		id := at[strings.LastIndex(at, "/")+1:]
		secrets = append(secrets, id[:32])
		do(t, "PATCH", nodes[1].PublicURL()+pathOf(t, at), "a=ice-ufrag:x", map[string]string{"Content-Type": sdpfrag.ContentType})
		do(t, "DELETE", nodes[0].PublicURL()+pathOf(t, at), "", map[string]string{"Authorization": "Bearer " + tokens[2]})
		do(t, "DELETE", nodes[1].PublicURL()+pathOf(t, at), "", nil)
	}
	<-p.Done()
	<-v.Done()
	for _, n := range nodes {
		n.stop()
	}
	text := log.String()
	if !strings.Contains(text, "publisher left") || !strings.Contains(text, "level=DEBUG") {
		t.Fatalf("the log is not what it was: %s", text)
	}
	for _, s := range append(secrets, "a=candidate", "m=audio", "Bearer") {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("the log tells a secret: …%s…", text[max(0, i-120):min(len(text), i+60)])
		}
	}
}

// iceSecrets are the passwords of a description.
func iceSecrets(t *testing.T, text string) (out []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if pwd, ok := strings.CutPrefix(strings.TrimSpace(line), "a=ice-pwd:"); ok {
			out = append(out, pwd)
		}
	}
	if len(out) == 0 {
		t.Fatal("no ICE password in the description")
	}
	return out
}

// setToken sets a token through the control API.
func setToken(t *testing.T, n *testNode, role room.Role, rm, id, token string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"room": rm, "id": id, "token": token})
	if err != nil {
		t.Fatal(err)
	}
	if r := do(t, "POST", n.PrivateURL()+"/create/"+string(role), string(body), map[string]string{"Content-Type": "application/json"}); r.status != 200 {
		t.Fatalf("create: %+v", r)
	}
}

// pathOf is the path of a session's URL, to be used at any node.
func pathOf(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.EscapedPath()
}
