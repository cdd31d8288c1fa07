package controlapi

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weever/shared/logtest"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/store"
	"weever/shared/testkit"
	"weever/shared/tokens"
)

// site is a control API over a real Redis, and what it works with beside it.
type site struct {
	t      *testing.T
	url    string
	tokens *tokens.Tokens
	store  *store.Store
}

func newSite(t *testing.T, redisURL string, change func(*Config)) *site {
	t.Helper()
	db := redisdbtest.Open(t, redisURL)
	cfg := Config{Tokens: tokens.New(db, nil), Store: store.New(db, nil)}
	if change != nil {
		change(&cfg)
	}
	srv := httptest.NewServer(New(cfg))
	t.Cleanup(srv.Close)
	return &site{t: t, url: srv.URL, tokens: cfg.Tokens, store: cfg.Store}
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers are "Name: value".
func (s *site) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(raw)}
}

// decode reads a JSON answer strictly: a field nobody promised fails the test.
func (r reply) decode(t *testing.T, into any) {
	t.Helper()
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %+v", r)
	}
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
}

// wantProblem fails unless r is a problem document with that status and type that says detail.
func (r reply) wantProblem(t *testing.T, status int, code, detail string) {
	t.Helper()
	var p struct {
		Type   string `json:"type"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}
	if r.status != status || r.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %s %s", r.status, r.header.Get("Content-Type"), r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != status || p.Type != "urn:weever:problem:"+code || !strings.Contains(p.Detail, detail) {
		t.Fatalf("got %s, want %s and %q", r.body, code, detail)
	}
}

const (
	isJSON   = "Content-Type: application/json"
	wantJSON = "Accept: application/json"
)

func TestRefusals(t *testing.T) {
	s := newSite(t, testkit.Redis(t), nil)
	long := strings.Repeat("a", 65)
	for _, tt := range []struct {
		name, method, path, body string
		header                   string
		status                   int
		code, detail             string
	}{
		{"unknown path", "GET", "/", "", "", 404, "not-found", "no such path"},
		{"unknown role", "POST", "/create/spy", `{}`, isJSON, 404, "not-found", ""},
		{"too many parts", "GET", "/list/pub/a/b", "", "", 404, "not-found", ""},
		{"too few parts", "GET", "/list/pub/", "", "", 404, "not-found", ""},
		{"empty part", "GET", "/list//pub/a", "", "", 404, "not-found", ""},
		{"dots", "GET", "/list/pub/x/../a", "", "", 404, "not-found", ""},
		{"trailing slash", "POST", "/create/pub/", `{"room":"a","id":"b"}`, isJSON, 404, "not-found", ""},
		{"session path", "DELETE", "/pub/lobby/alice/session", "", "", 404, "not-found", ""},

		{"GET create", "GET", "/create/pub", "", "", 405, "bad-method", "POST"},
		{"PUT create", "PUT", "/create/sub", "{}", isJSON, 405, "bad-method", "POST"},
		{"POST list", "POST", "/list/pub/lobby", "", "", 405, "bad-method", "GET"},
		{"DELETE rooms", "DELETE", "/rooms", "", "", 405, "bad-method", "GET"},
		{"GET kick", "GET", "/pub/lobby/alice", "", "", 405, "bad-method", "DELETE"},
		{"OPTIONS", "OPTIONS", "/rooms", "", "", 405, "bad-method", "GET"},

		{"no content type", "POST", "/create/pub", `{"room":"a","id":"b"}`, "", 415, "bad-type", "application/json"},
		{"form", "POST", "/create/pub", `room=a&id=b`, "Content-Type: application/x-www-form-urlencoded", 415, "bad-type", "application/json"},
		{"broken content type", "POST", "/create/pub", `{"room":"a","id":"b"}`, "Content-Type: application/json; =", 415, "bad-type", ""},
		{"too large", "POST", "/create/pub", `{"x":"` + strings.Repeat("a", 16<<10) + `"}`, isJSON, 413, "too-large", "16384 bytes"},

		{"empty body", "POST", "/create/pub", ``, isJSON, 400, "bad-request", "JSON object"},
		{"no JSON", "POST", "/create/pub", `room`, isJSON, 400, "bad-request", "JSON object"},
		{"null", "POST", "/create/pub", `null`, isJSON, 400, "bad-request", "JSON object"},
		{"array", "POST", "/create/pub", `[{"room":"a","id":"b"}]`, isJSON, 400, "bad-request", "JSON object"},
		{"string", "POST", "/create/pub", `"a"`, isJSON, 400, "bad-request", "JSON object"},
		{"two objects", "POST", "/create/pub", `{"room":"a","id":"b"}{}`, isJSON, 400, "bad-request", "JSON object"},
		{"cut short", "POST", "/create/pub", `{"room":"a","id":"b"`, isJSON, 400, "bad-request", "JSON object"},

		{"room missing", "POST", "/create/pub", `{"id":"b"}`, isJSON, 400, "bad-name", "room must be 1 to 64 characters"},
		{"room in capitals", "POST", "/create/pub", `{"ROOM":"a","id":"b"}`, isJSON, 400, "bad-name", "room must be 1 to 64 characters"},
		{"room empty", "POST", "/create/pub", `{"room":"","id":"b"}`, isJSON, 400, "bad-name", "room must be 1 to 64 characters"},
		{"room null", "POST", "/create/pub", `{"room":null,"id":"b"}`, isJSON, 400, "bad-name", "room must be 1 to 64 characters"},
		{"room no string", "POST", "/create/pub", `{"room":7,"id":"b"}`, isJSON, 400, "bad-request", "room must be a string"},
		{"room too long", "POST", "/create/pub", `{"room":"` + long + `","id":"b"}`, isJSON, 400, "bad-name", "64 characters"},
		{"room with a star", "POST", "/create/pub", `{"room":"a*","id":"b"}`, isJSON, 400, "bad-name", "A-Z a-z 0-9 _ - ~"},
		{"room with a brace", "POST", "/create/pub", `{"room":"a}b","id":"b"}`, isJSON, 400, "bad-name", "A-Z a-z 0-9 _ - ~"},
		{"room not ASCII", "POST", "/create/pub", `{"room":"ä","id":"b"}`, isJSON, 400, "bad-name", "A-Z a-z 0-9 _ - ~"},
		{"id missing", "POST", "/create/sub", `{"room":"a"}`, isJSON, 400, "bad-name", "id must be 1 to 48 characters"},
		{"id too long", "POST", "/create/sub", `{"room":"a","id":"` + long + `"}`, isJSON, 400, "bad-name", "48 characters"},
		{"id with a quote", "POST", "/create/sub", `{"room":"a","id":"b\"c"}`, isJSON, 400, "bad-name", "A-Z a-z 0-9 _ - ~"},
		{"id a list", "POST", "/create/sub", `{"room":"a","id":["b"]}`, isJSON, 400, "bad-request", "id must be a string"},
		{"token a number", "POST", "/create/sub", `{"room":"a","id":"b","token":5}`, isJSON, 400, "bad-request", "token must be a string"},
		{"token too long", "POST", "/create/sub", `{"room":"a","id":"b","token":"` + strings.Repeat("x", 4097) + `"}`, isJSON, 400, "bad-request", "4096"},
		{"token not ASCII", "POST", "/create/sub", `{"room":"a","id":"b","token":"ä"}`, isJSON, 400, "bad-request", "visible ASCII"},
		{"token of two lines", "POST", "/create/sub", `{"room":"a","id":"b","token":"a\nb"}`, isJSON, 400, "bad-request", "visible ASCII"},
		{"token a space", "POST", "/create/sub", `{"room":"a","id":"b","token":" "}`, isJSON, 400, "bad-request", "visible ASCII"},
		{"ttl 0", "POST", "/create/sub", `{"room":"a","id":"b","ttl_seconds":0}`, isJSON, 400, "bad-request", "1 to 2592000"},
		{"ttl negative", "POST", "/create/sub", `{"room":"a","id":"b","ttl_seconds":-1}`, isJSON, 400, "bad-request", "1 to 2592000"},
		{"ttl too long", "POST", "/create/sub", `{"room":"a","id":"b","ttl_seconds":2592001}`, isJSON, 400, "bad-request", "1 to 2592000"},
		{"ttl beyond 64 bit", "POST", "/create/sub", `{"room":"a","id":"b","ttl_seconds":99999999999999999999}`, isJSON, 400, "bad-request", "1 to 2592000"},
		{"ttl a fraction", "POST", "/create/sub", `{"room":"a","id":"b","ttl_seconds":1.5}`, isJSON, 400, "bad-request", "1 to 2592000"},
		{"ttl a string", "POST", "/create/sub", `{"room":"a","id":"b","ttl_seconds":"60"}`, isJSON, 400, "bad-request", "1 to 2592000"},

		{"list bad room", "GET", "/list/pub/a*", "", "", 400, "bad-name", "A-Z a-z 0-9 _ - ~"},
		{"list room with a slash", "GET", "/list/sub/a%2Fb", "", "", 400, "bad-name", "A-Z a-z 0-9 _ - ~"},
		{"list room too long", "GET", "/list/sub/" + long, "", "", 400, "bad-name", "64 characters"},
		{"rooms bad after", "GET", "/rooms?after=a*", "", "", 400, "bad-name", "A-Z a-z 0-9 _ - ~"},
		{"rooms limit 0", "GET", "/rooms?limit=0", "", "", 400, "bad-request", "1 to 1000"},
		{"rooms limit too high", "GET", "/rooms?limit=1001", "", "", 400, "bad-request", "1 to 1000"},
		{"rooms limit no number", "GET", "/rooms?limit=all", "", "", 400, "bad-request", "1 to 1000"},
		{"kick bad room", "DELETE", "/pub/a.b/alice", "", "", 400, "bad-name", "room may only contain"},
		{"kick bad id", "DELETE", "/pub/lobby/a.b", "", "", 400, "bad-name", "id may only contain"},
		{"kick screen alone", "DELETE", "/pub/lobby/-screen", "", "", 400, "bad-name", "needs a name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			if tt.header != "" {
				headers = append(headers, tt.header)
			}
			got := s.do(tt.method, tt.path, tt.body, headers...)
			got.wantProblem(t, tt.status, tt.code, tt.detail)
			// The method refusal names the permitted ones twice: in its detail, which the table has, and in Allow.
			allow := got.header.Get("Allow")
			if refused := tt.status == http.StatusMethodNotAllowed; refused != (allow != "") || refused && !strings.HasPrefix(allow, tt.detail) {
				t.Errorf("Allow is %q", allow)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Error("may be cached")
			}
		})
	}
	// None of them left a trace.
	if got := s.do("GET", "/rooms", ""); got.body != `{"rooms":[],"next":null}` {
		t.Errorf("rooms: %s", got.body)
	}
}

func TestAdminTokenGuardsEverything(t *testing.T) {
	s := newSite(t, testkit.Redis(t), func(c *Config) { c.AdminToken = "admin secret" })
	for _, path := range []string{"/rooms", "/list/pub/lobby", "/nowhere", "//"} {
		for _, auth := range [][]string{
			nil,
			{"Authorization: Bearer wrong"},
			{"Authorization: Bearer "},
			{"Authorization: Basic admin secret"},
			{"Authorization: admin secret"},
			{"Authorization: Bearer admin secret", "Authorization: Bearer admin secret"},
		} {
			got := s.do("GET", path, "", auth...)
			if got.status != http.StatusUnauthorized || got.body != "bad token" || got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s with %q: %+v", path, auth, got)
			}
		}
	}
	s.do("GET", "/rooms", "", wantJSON).wantProblem(t, http.StatusUnauthorized, "bad-token", "admin token")
	if got := s.do("GET", "/rooms", "", "Authorization: bearer admin secret"); got.status != http.StatusOK {
		t.Errorf("with the token: %+v", got)
	}
	s.do("GET", "/nowhere", "", "Authorization: Bearer admin secret").wantProblem(t, http.StatusNotFound, "not-found", "")
}

func TestRoutesServeTheirPartOnly(t *testing.T) {
	url := testkit.Redis(t)
	paths := []struct {
		part         Routes
		method, path string
	}{
		{Create, "POST", "/create/pub"},
		{Create, "POST", "/create/sub"},
		{List, "GET", "/list/pub/lobby"},
		{List, "GET", "/list/sub/lobby"},
		{List, "GET", "/rooms"},
		{Kick, "DELETE", "/pub/lobby/alice"},
		{Kick, "DELETE", "/sub/lobby/alice"},
	}
	for _, routes := range []Routes{Create, List, Kick, Create | Kick, 0} {
		s := newSite(t, url, func(c *Config) { c.Routes = routes })
		for _, p := range paths {
			got := s.do(p.method, p.path, `{"room":"lobby","id":"alice"}`, isJSON)
			served := routes == 0 || routes&p.part != 0
			if ok := got.status < 300; ok != served || !ok && got.status != http.StatusNotFound {
				t.Errorf("routes %b: %s %s gives %d", routes, p.method, p.path, got.status)
			}
		}
	}
}

func TestWhileRedisIsAway(t *testing.T) {
	var log logtest.Buffer
	srv := testkit.StartRedis(t)
	s := newSite(t, srv.URL, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	srv.Stop()
	for _, r := range []struct{ method, path string }{
		{"POST", "/create/pub"},
		{"GET", "/list/pub/lobby"},
		{"GET", "/list/sub/lobby"},
		{"GET", "/rooms"},
		{"DELETE", "/pub/lobby/alice"},
	} {
		got := s.do(r.method, r.path, `{"room":"lobby","id":"alice","token":"secret"}`, isJSON)
		got.wantProblem(t, http.StatusServiceUnavailable, "unavailable", "try again")
		if got.header.Get("Retry-After") != "2" {
			t.Errorf("%s %s: Retry-After %q", r.method, r.path, got.header.Get("Retry-After"))
		}
		if strings.Contains(got.body, "127.0.0.1") || strings.Contains(got.body, "refused") {
			t.Errorf("the client is told internals: %s", got.body)
		}
	}
	if text := log.String(); strings.Count(text, "request refused") != 5 || !strings.Contains(text, "connection refused") || strings.Contains(text, "secret") {
		t.Errorf("the log is\n%s", text)
	}
	srv.Start()
	if got := s.do("GET", "/rooms", ""); got.status != http.StatusOK {
		t.Errorf("Redis is back: %+v", got)
	}
}
