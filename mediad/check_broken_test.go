package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/semaphore"

	"weever/mediad/internal/check"
)

// broken is a server in front of a node that does one thing wrong. What a field does not touch goes through as it is.
type broken struct {
	fails   []string                                                       // the rows that must fail, and no others
	strict  bool                                                           // check with --strict
	answer  func(w http.ResponseWriter, r *http.Request, body string) bool // true: the request is answered
	request func(r *http.Request, body string) string                      // changes it on its way to the node
	reply   func(r *http.Response, body string) string                     // and the reply on its way back
	ends    func(r *http.Request, body string) bool                        // true: the session is deleted first
}

// breaks are the things that can be wrong, one by one, with what the check must say.
func breaks() map[string]broken {
	all := brokenAnswers()
	for name, b := range brokenPatches() {
		all[name] = b
	}
	for name, b := range brokenEnds() {
		all[name] = b
	}
	for name, b := range brokenHeaders() {
		all[name] = b
	}
	return all
}

// posted changes the reply to a POST that opened a session.
func posted(f func(r *http.Response, body string) string) func(*http.Response, string) string {
	return func(r *http.Response, body string) string {
		if r.Request.Method != http.MethodPost || r.StatusCode != http.StatusCreated {
			return body
		}
		return f(r, body)
	}
}

// text changes the answers of POST.
func text(pairs ...string) func(*http.Response, string) string {
	return posted(func(_ *http.Response, body string) string { return strings.NewReplacer(pairs...).Replace(body) })
}

// head changes the headers of the replies to a method.
func head(method string, f func(http.Header)) func(*http.Response, string) string {
	return func(r *http.Response, body string) string {
		if r.Request.Method == method && r.StatusCode < 300 {
			f(r.Header)
		}
		return body
	}
}

// offered changes offers on their way.
func offered(pairs ...string) func(*http.Request, string) string {
	return func(r *http.Request, body string) string {
		if r.Method == http.MethodPost {
			body = strings.NewReplacer(pairs...).Replace(body)
		}
		return body
	}
}

// says answers in the node's place when the condition holds.
func says(status int, when func(r *http.Request, body string) bool) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, body string) bool {
		if !when(r, body) {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

func patched(r *http.Request) bool { return r.Method == http.MethodPatch }

// front runs the broken server until the test ends.
func (b broken) front(t *testing.T, node string) string {
	t.Helper()
	pipe := &http.Transport{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || b.answer != nil && b.answer(w, r, string(body)) {
			return
		}
		if b.ends != nil && b.ends(r, string(body)) {
			if err := forget(r, pipe, node); err != nil {
				t.Error(err)
			}
		}
		out := r.Clone(r.Context())
		if b.request != nil {
			body = []byte(b.request(out, string(body)))
		}
		req, err := http.NewRequestWithContext(r.Context(), r.Method, node+out.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header = out.Header
		resp, err := pipe.RoundTrip(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		answer, _ := io.ReadAll(resp.Body)
		if b.reply != nil {
			answer = []byte(b.reply(resp, string(answer)))
		}
		resp.Header.Del("Content-Length")
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(func() {
		srv.Close()
		pipe.CloseIdleConnections()
	})
	return srv.URL
}

// forget deletes the session that a request is about.
func forget(r *http.Request, pipe http.RoundTripper, node string) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodDelete, node+r.URL.Path, nil)
	if err != nil {
		return err
	}
	resp, err := pipe.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Each fault makes the rows fail that are about it, and no others.
func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	n, token := checkedNode(t, false)
	const atOnce = 10 // most of a check is waiting
	slots := semaphore.NewWeighted(atOnce)
	var all sync.WaitGroup
	room := 0
	for name, b := range breaks() {
		room++
		rm := "broken-" + strconv.Itoa(room)
		endpoint, tok := b.front(t, n.PublicURL())+"/pub/"+rm+"/alice", token("pub", rm, "alice")
		all.Go(func() {
			if slots.Acquire(t.Context(), 1) != nil {
				return
			}
			defer slots.Release(1)
			report, err := check.Run(t.Context(), check.Config{Endpoint: endpoint, Token: tok, Strict: b.strict, Consent: -1})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			got, text := failures(report)
			slices.Sort(b.fails)
			slices.Sort(got)
			if !slices.Equal(got, b.fails) {
				t.Errorf("%s: %v failed, want %v:%s", name, got, b.fails, text)
			}
		})
	}
	all.Wait()
}

// The same for a player, with several faults at a time.
func TestCheckFindsFaultsOfAPlayersServer(t *testing.T) {
	t.Parallel()
	n, token := checkedNode(t, false)
	b := broken{
		fails: []string{"E1", "E10", "E11", "E13", "E15", "E16", "E17", "E2", "E3", "E7", "E8", "H10", "W18", "W38", "W46"},
		answer: func(w http.ResponseWriter, r *http.Request, body string) bool {
			switch {
			case r.Method == http.MethodPost && r.URL.RawQuery == "": // E15
				http.Redirect(w, r, r.URL.Path+"?moved=1", http.StatusFound)
			case r.Method == http.MethodHead: // E2
				w.WriteHeader(http.StatusNoContent)
			case r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") == 3: // E1
				_, _ = io.WriteString(w, "hello")
			case r.Header.Get("If-Match") == `"nonsense"` && patched(r) && !strings.Contains(body, "a=end"): // W18, E11
				w.WriteHeader(http.StatusConflict)
			default:
				return false
			}
			return true
		},
		request: func(r *http.Request, body string) string { // E7, E8
			if r.Method == http.MethodPost {
				r.Header.Set("Content-Type", "application/sdp")
			}
			return strings.NewReplacer("a=sendonly", "a=recvonly", "a=inactive", "a=recvonly").Replace(body)
		},
		reply: func(r *http.Response, body string) string {
			if r.StatusCode == http.StatusConflict { // E10
				r.StatusCode = http.StatusNotFound
			}
			if r.StatusCode != http.StatusCreated {
				return body
			}
			r.Header.Set("Link", `<https://h/x>; rel="urn:ietf:params:whep:ext:"`) // E16
			body = strings.Replace(body, "a=msid:", "a=msid:x", 1)                 // E13
			body = strings.Replace(body, "BUNDLE 0 1", "BUNDLE 0 1 9", 1)          // E3, E17
			return body + strings.Replace(body[strings.LastIndex(body, "m="):], "a=mid:1", "a=mid:9", 1)
		},
	}
	report, err := check.Run(t.Context(), check.Config{
		Endpoint: b.front(t, n.PublicURL()) + "/sub/tea/bob", Token: token("sub", "tea", "bob"), WHEP: true,
		PublishURL: n.PublicURL() + "/pub/tea/alice", PublishToken: token("pub", "tea", "alice"), Consent: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, text := failures(report)
	slices.Sort(got)
	slices.Sort(b.fails)
	if !slices.Equal(got, b.fails) {
		t.Errorf("%v failed, want %v:%s", got, b.fails, text)
	}
}
