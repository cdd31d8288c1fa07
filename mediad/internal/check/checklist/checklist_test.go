package checklist

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"weever/mediad/internal/check/probe"
)

// fake is an endpoint that answers each POST as it is told, and notes what is deleted.
type fake struct {
	url  string
	post func(n int, w http.ResponseWriter) // n counts from 1

	mu      sync.Mutex
	posts   int
	deleted []string
}

func newFake(t *testing.T, post func(n int, w http.ResponseWriter)) *fake {
	t.Helper()
	f := &fake{post: post}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.url = srv.URL + "/whip"
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method {
	case http.MethodPost:
		f.posts++
		f.post(f.posts, w)
	case http.MethodDelete:
		f.deleted = append(f.deleted, r.URL.Path)
	case http.MethodPatch:
		w.WriteHeader(http.StatusPreconditionFailed)
	}
}

func session(w http.ResponseWriter) {
	w.Header().Set("Location", "/session/secret-one")
	w.Header().Set("ETag", `"tag"`)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, probe.Plain("recvonly").SDP())
}

func TestOpenTriesAgainWhenBusy(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(n int, w http.ResponseWriter) {
		switch n {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusConflict)
		default:
			session(w)
		}
	})
	r := NewRun(Config{Endpoint: f.url, Token: "a-token"}, nil)
	s, err := r.Open(t.Context(), probe.Plain("sendonly").SDP())
	if err != nil {
		t.Fatal(err)
	}
	if s.Answer == nil || s.Tag() != `"tag"` || s.Ours.Mid != "0" || s.Login().Theirs == "" || s.Login().Ours != s.Ours.Ufrag {
		t.Errorf("%+v", s)
	}
	for _, secret := range []string{"a-token", "secret-one", s.URL, s.Login().Pwd} {
		if !slices.Contains(r.Secrets(), secret) {
			t.Errorf("%s would be shown", secret)
		}
	}
	r.CloseAll(t.Context())
	r.CloseAll(t.Context())
	if !slices.Equal(f.deleted, []string{"/session/secret-one"}) {
		t.Errorf("deleted %v", f.deleted)
	}
}

func TestOpenSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	for status, says := range map[int]string{401: "another token", 422: "POST → 422", 201: "without a usable Location"} {
		f := newFake(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(status) })
		r := NewRun(Config{Endpoint: f.url}, nil)
		_, err := r.Open(t.Context(), "v=0")
		var refused *Refusal
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), says) || f.posts != 1 {
			t.Errorf("%d: %v after %d", status, err, f.posts)
		}
		if reply, err := r.Reply(t.Context()); err != nil || reply.Status != status {
			t.Errorf("%d: %+v, %v", status, reply, err)
		}
	}
}

// What is open is deleted even when the check is over.
func TestCloseAllAfterTheEnd(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ int, w http.ResponseWriter) { session(w) })
	r := NewRun(Config{Endpoint: f.url}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		if _, err := r.Open(ctx, probe.Plain("sendonly").SDP()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	r.CloseAll(ctx)
	if len(f.deleted) != 2 {
		t.Errorf("deleted %v", f.deleted)
	}
}

// A reply that is about the tag says nothing of whether the session is there.
func TestGone(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ int, w http.ResponseWriter) { session(w) })
	r := NewRun(Config{Endpoint: f.url}, nil)
	s, err := r.Open(t.Context(), probe.Plain("sendonly").SDP())
	if err != nil {
		t.Fatal(err)
	}
	signs, err := s.Signs(t.Context())
	if err != nil || !signs.Useful() {
		t.Fatalf("%+v, %v", signs, err)
	}
	if gone, seen, err := s.Gone(t.Context(), signs); gone || err != nil || seen != "GET → 200" {
		t.Errorf("%v, %q, %v", gone, seen, err)
	}
	if last, first, err := s.AfterDelete(t.Context()); err != nil || last.Missing() || first.Status != 412 {
		t.Errorf("%+v, %+v, %v", last, first, err)
	}
	if gone, _, _ := s.Gone(t.Context(), Signs{}); gone {
		t.Error("gone without a sign")
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a token tok-1 and \x1b[31mred\r\n": "a token … and  [31mred",
		"abc":                               "abc",
		strings.Repeat("ä", 400):            strings.Repeat("ä", maxEvidence-1) + "…",
	} {
		if got := Clean(in, []string{"", "abc", "tok-1"}); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[0m secret b", "secret")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := Clean(text, []string{secret})
		if len([]rune(got)) > maxEvidence || strings.ContainsAny(got, "\r\n\x1b") {
			t.Errorf("%q", got)
		}
	})
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	r := NewRun(Config{Player: true}, nil)
	if r.Direction() != "recvonly" || r.Answers() != "sendonly" {
		t.Error("a player receives")
	}
	r.Keep("W1", When(false, "%d", 1))
	if v, ok := r.Verdict("W1"); !ok || v != (Verdict{Fail, "1"}) {
		t.Errorf("%+v", v)
	}
	if v := NotHere("X", May, "s", "100 %").Judge(t.Context(), r); v != (Verdict{None, "100 %"}) {
		t.Errorf("%+v", v)
	}
}
