package jwtauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weever/shared/apierr"
	"weever/shared/room"
)

func wantAway(t *testing.T, c *Checker, token string) {
	t.Helper()
	wantCode(t, check(t, c, token), apierr.Unavailable, "keys")
}

// quick is a pace that fetches again and again.
func quick() pace {
	p := slow()
	p.refresh = 5 * time.Millisecond
	return p
}

func TestRotation(t *testing.T) {
	s := serveKeys(t, jwk("old", "", rsaKey().Public()))
	c := running(t, s.config(t), slow())
	first := issue(t, jose.RS256, rsaKey(), "old", payload(nil))
	second := issue(t, jose.RS256, rsaOther(), "new", payload(nil))
	wantGood(t, c, first)
	wantBad(t, c, second, "no key with the token's key id")

	s.set(jwk("old", "", rsaKey().Public()), jwk("new", "", rsaOther().Public()))
	wantGood(t, c, second) // an unknown key id fetches the set and waits for it
	wantGood(t, c, first)

	s.set(jwk("new", "", rsaOther().Public()))
	wantBad(t, c, issue(t, jose.EdDSA, edKey(), "newer", payload(nil)), "no key") // fetches, too
	wantBad(t, c, first, "no key with the token's key id")
	wantGood(t, c, second)

	s.set(jwk("new", "", ecKey().Public())) // the name stays, the key does not
	wantGood(t, c, issue(t, jose.ES256, ecKey(), "new", payload(nil)))
	wantBad(t, c, second, "no key")
}

// Keys that nobody asks for are fetched all the same, and those taken out stop working.
func TestRefresh(t *testing.T) {
	s := serveKeys(t, jwk("old", "", rsaKey().Public()))
	c := running(t, s.config(t), quick())
	token := issue(t, jose.RS256, rsaKey(), "old", payload(nil))
	wantGood(t, c, token)
	s.set()
	s.hit(t, len(s.hits)+2) // the second of these began after the first had ended, and that saw no key
	wantBad(t, c, token, "no key")
}

func TestKeyIDsThatComeTwice(t *testing.T) {
	s := serveKeys(t, jwk("", "", rsaKey().Public()), jwk("k", "", rsaOther().Public()), jwk("k", "", rsaKey().Public()), jwk("k", "", ecKey().Public()))
	c := running(t, s.config(t), slow())
	wantGood(t, c, issue(t, jose.RS256, rsaKey(), "", payload(nil)))
	wantGood(t, c, issue(t, jose.RS256, rsaKey(), "k", payload(nil)))
	wantGood(t, c, issue(t, jose.ES256, ecKey(), "k", payload(nil)))

	var many []any
	for i := range maxTried + 1 {
		many = append(many, jwk(fmt.Sprint(i), "", rsaKey().Public()))
	}
	s = serveKeys(t, many...)
	c = running(t, s.config(t), slow())
	wantGood(t, c, issue(t, jose.RS256, rsaKey(), "1", payload(nil)))
	wantBad(t, c, issue(t, jose.RS256, rsaKey(), "", payload(nil)), "too many keys")
}

func TestStartWhileTheURLIsAway(t *testing.T) {
	s := serveKeys(t)
	s.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	cfg := s.config(t)
	cfg.Secret = secret
	c := running(t, cfg, quick())
	s.hit(t, 1)
	token := issue(t, jose.RS256, rsaKey(), "rsa", payload(nil))
	wantAway(t, c, token)
	wantGood(t, c, good(t)) // the secret needs no fetch
	s.set(allKeys()...)
	s.hit(t, len(s.hits)+2) // the second of these began after the first had ended, and that saw the keys
	wantGood(t, c, token)
}

// comesGood returns once the token is good; each try waits for a token's patience.
func comesGood(t *testing.T, c *Checker, token string) {
	t.Helper()
	for tries := 0; check(t, c, token) != nil; tries++ {
		if tries > 10_000 {
			t.Fatal("the keys never came")
		}
	}
}

func TestBeforeRunAndAfter(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	p := slow()
	p.patience = time.Millisecond
	c := must(newChecker(s.config(t), p))
	token := issue(t, jose.RS256, rsaKey(), "rsa", payload(nil))
	wantAway(t, c, token)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	comesGood(t, c, token)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantGood(t, c, token)
	wantAway(t, c, issue(t, jose.RS256, rsaKey(), "other", payload(nil)))
}

func TestOutage(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	c := running(t, s.config(t), quick())
	known := issue(t, jose.RS256, rsaKey(), "rsa", payload(nil))
	unknown := issue(t, jose.RS256, rsaOther(), "new", payload(nil))
	wantGood(t, c, known)
	for name, reply := range map[string]http.HandlerFunc{
		"error":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"not found":  http.NotFound,
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"a page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>sign in</html>") },
		"no keys":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"error":"busy"}`) },
		"null":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":null}`) },
		"keys twice": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[],"keys":[]}`) },
		"more":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}{"keys":[]}`) },
		"nothing":    func(http.ResponseWriter, *http.Request) {},
		"deep":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("[", maxBody)) },
		"deeper than anything": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[`+strings.Repeat("[", maxBody/3)+strings.Repeat("]", maxBody/3)+`]}`)
		},
		"large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[],"x":"`+strings.Repeat("x", maxBody)+`"}`)
		},
		"too many": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[`+strings.Repeat("{},", maxKeys)+`{}]}`)
		},
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"keys":[]}`)
		},
		"hung up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			s.answer(reply)
			s.hit(t, len(s.hits)+2)
			wantGood(t, c, known)
			wantAway(t, c, unknown)
		})
	}
	s.set(append(allKeys(), jwk("new", "", rsaOther().Public()))...)
	s.hit(t, len(s.hits)+2)
	wantGood(t, c, unknown)
}

// A server that takes the question and says nothing is as good as away.
func TestSilentServer(t *testing.T) {
	s := serveKeys(t)
	s.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := slow()
	p.timeout = 10 * time.Millisecond
	c := running(t, s.config(t), p)
	s.hit(t, 3) // it is given up, and tried again
	wantAway(t, c, issue(t, jose.RS256, rsaKey(), "rsa", payload(nil)))
}

// Who has gone is not waited for.
func TestImpatience(t *testing.T) {
	s := serveKeys(t)
	s.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := running(t, s.config(t), slow())
	s.hit(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.CheckToken(ctx, tea, room.Pub, alice, issue(t, jose.RS256, rsaKey(), "rsa", payload(nil)))
	wantCode(t, err, apierr.Unavailable, "try again")
}

// A flood of made-up key ids shares the one fetch that is under way; good tokens do not notice.
func TestFloodIsOneFetch(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	p := slow()
	p.patience = 10 * time.Millisecond
	c := must(newChecker(s.config(t), p))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	known := issue(t, jose.RS256, rsaKey(), "rsa", payload(nil))
	comesGood(t, c, known)
	s.hit(t, 1)
	s.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) // one that never ends
	var flood sync.WaitGroup
	for i := range 100 {
		token := b64(fmt.Sprintf(`{"alg":"RS256","kid":"made-up-%d"}`, i)) + "." + b64("{}") + "." + b64("x")
		flood.Go(func() {
			for range 3 {
				wantAway(t, c, token)
				wantGood(t, c, known)
			}
		})
	}
	flood.Wait()
	s.hit(t, 1)
	if len(s.hits) > 0 {
		t.Error("more than one fetch")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// During the rest after a fetch unknown keys are refused at once, whatever their number.
func TestFloodDuringTheRest(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	p := slow()
	p.rest = time.Hour
	c := running(t, s.config(t), p)
	known := issue(t, jose.RS256, rsaKey(), "rsa", payload(nil))
	wantGood(t, c, known)
	var flood sync.WaitGroup
	for i := range 8 {
		flood.Go(func() {
			for j := range 50 {
				wantBad(t, c, issue(t, jose.HS256, []byte(secret), "x", payload(nil)), "not allowed")
				wantBad(t, c, b64(fmt.Sprintf(`{"alg":"RS256","kid":"%d-%d"}`, i, j))+"."+b64("{}")+"."+b64("x"), "no key")
				wantGood(t, c, known)
			}
		})
	}
	flood.Wait()
	if n := len(s.hits); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestRedirects(t *testing.T) {
	keys := serveKeys(t, allKeys()...)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("keys were fetched over plain http")
		_, _ = io.WriteString(w, asJSON(map[string]any{"keys": allKeys()}))
	}))
	t.Cleanup(plain.Close)
	token := issue(t, jose.RS256, rsaKey(), "rsa", payload(nil))
	to := func(where string) *Checker {
		s := serveKeys(t)
		s.answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, where, http.StatusFound) })
		cfg := s.config(t) // the certificate is the same for all servers of the test
		return running(t, cfg, slow())
	}
	wantGood(t, to(keys.URL), token)
	wantAway(t, to(plain.URL), token)
	wantAway(t, to("ftp://127.0.0.1/"), token)
	loop := serveKeys(t)
	loop.answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, loop.URL, http.StatusFound) })
	wantAway(t, running(t, loop.config(t), slow()), token)
}

func TestPlainHTTPOnLoopback(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/keys" {
			http.Redirect(w, r, "/keys", http.StatusMovedPermanently)
			return
		}
		_, _ = io.WriteString(w, asJSON(map[string]any{"keys": allKeys()}))
	}))
	t.Cleanup(plain.Close)
	cfg := Config{JWKSURL: must(url.Parse(plain.URL)), Kicks: neverKicked{}, Log: testLog(t)} // a client of its own
	wantGood(t, running(t, cfg, slow()), issue(t, jose.RS256, rsaKey(), "rsa", payload(nil)))
}

// Without the issuer's authority nobody is believed.
func TestUnknownCertificate(t *testing.T) {
	s := serveKeys(t, allKeys()...)
	cfg := s.config(t)
	cfg.Client = nil
	wantAway(t, running(t, cfg, slow()), issue(t, jose.RS256, rsaKey(), "rsa", payload(nil)))
}

func TestLogSaysWhatChangedAndHoldsNoSecret(t *testing.T) {
	s := serveKeys(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "node" || pass != "hunter2" || r.URL.Query().Get("key") != "hunter3" {
			t.Error("the URL's secrets did not arrive")
		}
		http.Redirect(w, r, "http://192.0.2.1/hunter4", http.StatusFound)
	})
	var text strings.Builder
	cfg := s.config(t)
	cfg.JWKSURL = must(url.Parse(strings.Replace(s.URL, "https://", "https://node:hunter2@", 1) + "/?key=hunter3"))
	cfg.Log = slog.New(slog.NewTextHandler(&text, nil))
	c, err := newChecker(cfg, slow())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	s.hit(t, 3)
	s.set(append(allKeys(), map[string]string{"kty": "oct", "k": "AAAA"})...)
	s.hit(t, len(s.hits)+1)
	wantGood(t, c, issue(t, jose.RS256, rsaKey(), "rsa", payload(nil)))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	got := text.String()
	if strings.Contains(got, "hunter") || strings.Count(got, "cannot be fetched") != 1 || !strings.Contains(got, "keys=4 unusable=1") {
		t.Errorf("the log says:\n%s", got)
	}
}
