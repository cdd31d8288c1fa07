package request

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// start serves h until the test ends.
func start(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestRedirectsKeepMethodAndBody(t *testing.T) {
	t.Parallel()
	base := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusMovedPermanently)
		case "/b":
			http.Redirect(w, r, "/c", http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/nowhere":
			w.WriteHeader(http.StatusFound)
		default:
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, r.Method+" "+string(body)+" "+r.Header.Get("Authorization")+r.Header.Get("If-Match")+r.Header.Get("X-Y"))
		}
	})
	c := New(nil)
	r, err := c.Do(t.Context(), Request{Method: "PATCH", URL: base + "/a", Body: "offer", Token: "tok", IfMatch: "*", Header: map[string]string{"X-Y": "z"}})
	if err != nil || r.Body != "PATCH offer Bearer tok*z" || r.URL.Path != "/c" || !r.Refused() || r.String() != "PATCH → 409" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.Do(t.Context(), Request{Method: "POST", URL: base + "/loop"}); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Error(err)
	}
	if r, err := c.Do(t.Context(), Request{Method: "GET", URL: base + "/nowhere"}); err != nil || r.Status != 302 {
		t.Errorf("%+v, %v", r, err)
	}
	l := c.Ledger()
	if l.Requests != 3+maxHops+1+1 || l.Redirects[301] != 1 || l.Redirects[307] != 1 || l.Redirects[302] != maxHops+2 || l.Problems != 1 || l.Errors != 1 {
		t.Errorf("%+v", l)
	}
}

func TestOverloadsAreCounted(t *testing.T) {
	t.Parallel()
	base := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c := New(nil)
	for _, method := range []string{"POST", "GET"} {
		if _, err := c.Do(t.Context(), Request{Method: method, URL: base}); err != nil {
			t.Fatal(err)
		}
	}
	if l := c.Ledger(); l.Overloads != 2 || l.Silent != 1 {
		t.Errorf("%+v", l)
	}
}

// Errors tell nothing of the URL, and the reply to a POST is not given up.
func TestEndings(t *testing.T) {
	t.Parallel()
	c := New(nil)
	for _, u := range []string{"http://127.0.0.1:1/secret-path", "http://[::1/secret-path"} {
		if _, err := c.Do(t.Context(), Request{Method: "GET", URL: u}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	base := start(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusCreated)
	})
	if r, err := c.Do(ctx, Request{Method: "POST", URL: base}); err != nil || r.Status != 201 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.Do(ctx, Request{Method: "POST", URL: base}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTokensAreToldToTheSameServerOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"https://a.example/x", "https://a.example:444/y", true},
		{"https://a.example/x", "https://n1.a.example/y", true},
		{"https://a.example/x", "http://a.example/y", false},
		{"http://a.example/x", "https://a.example/y", true},
		{"https://a.example/x", "https://bad-a.example/y", false},
		{"https://a.example/x", "https://b.example/y", false},
	} {
		from, _ := url.Parse(c.from)
		to, _ := url.Parse(c.to)
		if trusted(from, to) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{200: false, 204: false, 301: false, 400: true, 401: false, 404: true, 410: true, 412: false, 428: false, 429: false, 500: false} {
		if (Reply{Status: status}).Missing() != want {
			t.Error(status)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	good := http.Header{"Link": {
		`<turn:h:3478?transport=udp>; rel="ice-server"; username="a,b;c"; credential="x=\"="; credential-type="password", <stun:h>;rel=ice-server`,
		`<https://h/sse>; rel="urn:ietf:params:whep:ext:core:server-sent-events other" ; Title ; events="a,b"`, "",
	}}
	links, err := Links(good)
	if err != nil || len(links) != 3 {
		t.Fatalf("%+v, %v", links, err)
	}
	if l := links[0]; l.Target != "turn:h:3478?transport=udp" || l.Params["username"] != "a,b;c" || l.Params["credential"] != `x="=` || l.Rels()[0] != "ice-server" {
		t.Errorf("%+v", l)
	}
	if l := links[2]; len(l.Rels()) != 2 || l.Params["events"] != "a,b" {
		t.Errorf("%+v", l)
	}
	for _, bad := range []string{
		"turn:h", "<>", "<a", "<a b>; rel=x", `<a>; rel="x`, "<a>; =x", "<a> rel=x", "<a>; rel=", `<a>; rel=x"y`, "<a>;", "<%zz>",
	} {
		if got, err := Links(http.Header{"Link": {bad}}); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func FuzzLinks(f *testing.F) {
	for _, s := range []string{`<a>; rel="b", <c>`, `<turn:h>; credential="x\"y"`, "<a>;;,", `"`, "<a>; b = c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		links, err := Links(http.Header{"Link": {s}})
		if err == nil && len(links) == 0 && strings.Trim(s, " \t\r\n\v\f\u0085\u00a0,") != "" && strings.TrimSpace(s) != "" {
			t.Errorf("%q is read as nothing", s)
		}
		_ = Redact(s)
		_ = StrongTag(s)
		_ = Lists(http.Header{"X": {s}}, "X", "y")
		_ = Entropy([]string{s, "abc", s + "x"})
	})
}

func TestLists(t *testing.T) {
	t.Parallel()
	h := http.Header{"Access-Control-Allow-Methods": {"GET, post", "PATCH"}, "X": {"*"}}
	for item, want := range map[string]bool{"POST": true, "PATCH": true, "DELETE": false, "PAT": false} {
		if Lists(h, "Access-Control-Allow-Methods", item) != want {
			t.Error(item)
		}
	}
	if !Lists(h, "X", "anything") || Lists(h, "Y", "anything") {
		t.Error("asterisk")
	}
}

func TestStrongTag(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{`"a"`: true, `"a/+"`: true, `""`: false, `a`: false, `W/"a"`: false, `"a`: false, `"a b"`: false, `"a"b"`: false, "": false} {
		if StrongTag(tag) != want {
			t.Errorf("%q", tag)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"/pub/tea/alice/secret":       "/pub/tea/alice/…",
		"https://h:1/x/secret?q=1#f":  "https://h:1/x/…?…",
		"https://user:pw@h/x/secret":  "https://h/x/…",
		"secret":                      "…",
		"//[bad":                      "…",
		"/pub/%2e%2e/sec%2fret%00ret": "/pub/../sec/…",
	} {
		if got := Redact(location); got != want || strings.Contains(got, "secret") || strings.Contains(got, "pw") {
			t.Errorf("%q: %q, want %q", location, got, want)
		}
	}
}

func TestEntropy(t *testing.T) {
	t.Parallel()
	uuids := []string{
		"/s/3f1d2a0c-5b7e-4f0a-9c61-0a1b2c3d4e5f", "/s/a02b9c1d-8e4f-4d12-b377-f0e1d2c3b4a5", "/s/71c6e8f3-2a9b-4c87-8d1e-5a4b3c2d1e0f",
		"/s/c8d5f4b6-10e2-47d3-a9f5-91827364b6c7", "/s/0e9a7b82-c4d6-4e3f-9b20-e7d6c5b4a392",
	}
	if g := Entropy(uuids); g.Bits < 122 || g.Bits > 124 || g.Kinds != 16 || g.Changing != 31 {
		t.Errorf("%+v", g)
	}
	if g := Entropy([]string{"/s/1001", "/s/1002", "/s/1013", "/s/1104"}); g.Bits > 10 {
		t.Errorf("%+v", g)
	}
	if g := Entropy([]string{"/s/Zk3_", "/s/q0-A"}); g.Kinds != 64 || g.Changing != 4 {
		t.Errorf("%+v", g)
	}
	if g := Entropy([]string{"same", "same"}); g.Bits != 0 || Entropy(nil) != (Guess{}) {
		t.Errorf("%+v", g)
	}
}
