package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"weever/mediad/internal/client"
	"weever/mediad/internal/flagval"
	"weever/shared/room"
)

const jwtSecret = "0123456789abcdef0123456789abcdef"

// issue signs a token for one door, as the backend of a service would.
func issue(t *testing.T, role room.Role, rm, id string, issued time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(jwtSecret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"room": rm, "id": id, "role": role, "iat": issued.Unix(), "exp": issued.Add(time.Hour).Unix(),
	}).Serialize() //nolint:misspell // the library spells it so
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Instead of stored tokens, JWTs open the doors they name; a kick closes them to all that were issued before it.
func TestJWT(t *testing.T) {
	c := newCluster(t, 2)
	var nodes []*testNode
	for i := range 2 {
		cfg := c.config(i)
		cfg.Auth.On, cfg.Auth.JWTSecret = true, flagval.NewSecret(jwtSecret)
		nodes = append(nodes, start(t, cfg))
	}
	// Issued a while ago: a token of the second of its kick is denied.
	conf := clientConfig(nodes[0], "tea", "alice+1")
	conf.Token = issue(t, room.Pub, "tea", "alice", time.Now().Add(-time.Minute))
	p, err := client.Publish(within(t, 10*time.Second), conf, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	offer := p.PeerConnection().LocalDescription().SDP
	post := func(path, token string) int {
		t.Helper()
		return do(t, "POST", nodes[1].PublicURL()+path, offer, map[string]string{"Content-Type": "application/sdp", "Authorization": "Bearer " + token}).status
	}
	for name, path := range map[string]string{"another room": "/pub/coffee/alice", "another id": "/pub/tea/bob", "another role": "/sub/tea/alice"} {
		if got := post(path, conf.Token); got != 401 {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := post("/pub/tea/alice", issue(t, room.Pub, "tea", "alice", time.Now().Add(-2*time.Hour))); got != 401 {
		t.Errorf("expired: %d", got)
	}
	setToken(t, nodes[0], room.Pub, "tea", "bob", "stored")
	if got := post("/pub/tea/bob", "stored"); got != 401 {
		t.Errorf("a stored token: %d", got)
	}

	if r := do(t, "DELETE", nodes[1].PrivateURL()+"/pub/tea/alice", "", nil); r.status != 204 {
		t.Fatalf("kick: %+v", r)
	}
	select {
	case <-p.Done():
	case <-time.After(2 * time.Second):
		t.Fatal("the kicked session lives on")
	}
	for _, n := range []string{"/pub/tea/alice", "/pub/tea/alice+2", "/pub/tea/alice-screen"} {
		if got := post(n, conf.Token); got != 401 {
			t.Errorf("after the kick, %s: %d", n, got)
		}
	}
	// Clocks may differ by five seconds, either way: newer is what is newer by more than that.
	later := issue(t, room.Pub, "tea", "alice", time.Now().Add(6*time.Second))
	await(t, "a newer token to be valid", 10*time.Second, func() bool { return post("/pub/tea/alice", later) == 201 })
	if got := post("/pub/tea/alice", later); got != 201 {
		t.Errorf("a token issued after the kick: %d", got)
	}
}

// Who shows a token is told the ICE servers, with credentials that expire; nobody else is, and no preflight.
func TestICEServers(t *testing.T) {
	cfg := newCluster(t, 1).config(0)
	cfg.Auth.On = true
	cfg.Media.ICEServers = []string{"stun:stun.example:3478", "turn:turn.example:3478?transport=udp"}
	cfg.Media.TURNSecret = flagval.NewSecret("shared")
	n := start(t, cfg)
	setToken(t, n, room.Pub, "tea", "alice", "good")
	conf := clientConfig(n, "tea", "alice")
	conf.Token = "good"
	p, err := client.Publish(within(t, 10*time.Second), conf, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	offer := p.PeerConnection().LocalDescription().SDP
	with := func(token string, more ...string) map[string]string {
		h := map[string]string{"Content-Type": "application/sdp", "Authorization": "Bearer " + token}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	url := n.PublicURL() + "/pub/tea/alice"
	for name, c := range map[string]struct {
		r    reply
		told bool
	}{
		"POST":              {do(t, "POST", url, offer, with("good")), true},
		"POST, bad token":   {do(t, "POST", url, offer, with("bad")), false},
		"POST, bad offer":   {do(t, "POST", url, "v=0", with("good")), false},
		"OPTIONS":           {do(t, "OPTIONS", url, "", with("good")), true},
		"OPTIONS, no token": {do(t, "OPTIONS", url, "", nil), false},
		"OPTIONS, bad one":  {do(t, "OPTIONS", url, "", with("bad")), false},
		"preflight":         {do(t, "OPTIONS", url, "", with("good", "Origin", "http://localhost", "Access-Control-Request-Method", "POST")), false},
		"GET":               {do(t, "GET", url, "", with("good")), false},
	} {
		links := strings.Join(c.r.header.Values("Link"), "\n")
		if told := links != ""; told != c.told {
			t.Errorf("%s (%d): Links %q", name, c.r.status, links)
		}
		if c.told && (!strings.Contains(links, `<stun:stun.example:3478>; rel="ice-server"`) ||
			!strings.Contains(links, `<turn:turn.example:3478?transport=udp>; rel="ice-server"; username="`) || strings.Contains(links, "shared")) {
			t.Errorf("%s: %s", name, links)
		}
	}
}
