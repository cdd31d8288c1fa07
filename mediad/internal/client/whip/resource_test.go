package whip

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// server answers with what the test sets and remembers the last request.
type server struct {
	status int
	header map[string]string
	body   string

	last *http.Request
	got  string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/old" {
		http.Redirect(w, r, "/a/new", http.StatusTemporaryRedirect)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.last, s.got = r, string(body)
	for k, v := range s.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.body)
}

func start(t *testing.T) (*server, *Resource, string) {
	t.Helper()
	s := &server{}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, New(web.Client(), "secret"), web.URL
}

func TestLifeOfASession(t *testing.T) {
	s, r, base := start(t)
	s.status, s.body, s.header = http.StatusCreated, "answer", map[string]string{"Location": "session/1", "ETag": `"a"`}
	answer, err := r.Post(t.Context(), base+"/old", "offer")
	if err != nil || answer != "answer" || s.got != "offer" || s.last.Header.Get("Content-Type") != "application/sdp" || s.last.Header.Get("Authorization") != "Bearer secret" {
		t.Fatalf("%q, %v; the server got %q with %v", answer, err, s.got, s.last.Header)
	}
	// RFC 3986: relative to the URL that answered, not to the one that was asked.
	if r.Location() != base+"/a/session/1" || r.ETag() != `"a"` {
		t.Errorf("location %q, tag %q", r.Location(), r.ETag())
	}

	s.status, s.header = http.StatusNoContent, map[string]string{"ETag": `"wrong"`}
	reply, err := r.Patch(t.Context(), "x/y", "fragment", `"a"`)
	if err != nil || reply.Status != http.StatusNoContent || s.got != "fragment" || s.last.Header.Get("If-Match") != `"a"` || s.last.URL.Path != "/a/session/1" || r.ETag() != `"a"` {
		t.Errorf("%+v, %v; tag %q", reply, err, r.ETag())
	}
	s.status, s.header = http.StatusOK, map[string]string{"ETag": `"b"`}
	if _, err := r.Patch(t.Context(), "x/y", "restart", "*"); err != nil || r.ETag() != `"b"` {
		t.Errorf("%v; tag %q", err, r.ETag())
	}

	for status, good := range map[int]bool{200: true, 204: true, 404: true, 410: true, 401: false, 503: false} {
		s.status, s.header = status, nil
		if err := r.Delete(t.Context()); (err == nil) != good || s.last.Method != http.MethodDelete {
			t.Errorf("DELETE answered %d: %v", status, err)
		}
	}
}

func TestRefusedPosts(t *testing.T) {
	s, r, base := start(t)
	for name, c := range map[string]struct {
		status       int
		header       map[string]string
		body, detail string
		after        time.Duration
	}{
		"problem":    {409, map[string]string{"Content-Type": "application/problem+json", "Retry-After": "7"}, `{"title":"T","detail":"nobody is live"}`, "nobody is live", 7 * time.Second},
		"title":      {400, map[string]string{"Content-Type": "application/json"}, `{"title":"T"}`, "T", 0},
		"plain text": {401, nil, "bad token\nmore", "bad token", 0},
		"bad JSON":   {500, map[string]string{"Content-Type": "application/json", "Retry-After": "soon"}, "{", "", 0},
		"not 201":    {200, map[string]string{"Location": "/x"}, "", "", 0},
		"long":       {500, nil, strings.Repeat("x", 1000), strings.Repeat("x", 200), 0},
	} {
		s.status, s.header, s.body = c.status, c.header, c.body
		_, err := r.Post(t.Context(), base, "offer")
		var status *StatusError
		if !errors.As(err, &status) || status.Status != c.status || status.RetryAfter != c.after || c.detail != "" && status.Detail != c.detail {
			t.Errorf("%s: %#v", name, err)
		} else if !strings.Contains(err.Error(), http.StatusText(c.status)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.status, s.header = http.StatusCreated, nil
	if _, err := r.Post(t.Context(), base, "offer"); err == nil || r.Location() != "" {
		t.Errorf("without Location: %v", err)
	}
	s.header = map[string]string{"Location": "http://[::1"}
	if _, err := r.Post(t.Context(), base, "offer"); err == nil || r.Location() != "" {
		t.Errorf("with a broken Location: %v", err)
	}
}

func TestErrorsKeepTheSessionSecret(t *testing.T) {
	s, r, base := start(t)
	if _, err := r.Patch(t.Context(), "", "", ""); err == nil {
		t.Error("PATCH before POST")
	}
	if err := r.Delete(t.Context()); err != nil {
		t.Errorf("DELETE before POST: %v", err)
	}
	s.status, s.header = http.StatusCreated, map[string]string{"Location": "http://127.0.0.1:1/very-secret"}
	if _, err := r.Post(t.Context(), base, "offer"); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context()); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("%v", err)
	}
	if _, err := r.Post(t.Context(), "http://bad host/", ""); err == nil || strings.Contains(err.Error(), "bad host") {
		t.Errorf("%v", err)
	}
}
