package jwtauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"weever/shared/apierr"
	"weever/shared/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret of more than thirty-two bytes"

// The keys of the tests; making them takes a while.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	rsaOther = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ec384Key = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	tea   = must(room.ParseName("tea"))
	alice = must(room.ParseID("alice"))
)

// neverKicked is a memory in which nobody is; tests of kicks use Redis.
type neverKicked struct{}

func (neverKicked) KickedAt(context.Context, room.Name, room.Role, room.ID) (time.Time, error) {
	return time.Time{}, nil
}

// payload are the claims of a good token for alice publishing in tea, with changes; a nil value takes a claim out.
func payload(changes map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{"room": "tea", "id": "alice", "role": "pub", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// issue signs claims as issuers do.
func issue(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	t.Helper()
	opt := new(jose.SignerOptions).WithType("JWT")
	if kid != "" {
		opt = opt.WithHeader("kid", kid)
	}
	return sign(alg, key, opt, claims)
}

func sign(alg jose.SignatureAlgorithm, key any, opt *jose.SignerOptions, claims any) string {
	s := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opt))
	return must(must(s.Sign([]byte(asJSON(claims)))).CompactSerialize())
}

func good(t testing.TB) string {
	return issue(t, jose.HS256, []byte(secret), "", payload(nil))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func asJSON(v any) string { return string(must(json.Marshal(v))) }

// craft makes a token of any header and claims, signed with a secret: what no library would make.
func craft(header, claims string, key []byte) string {
	text := b64(header) + "." + b64(claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + b64(string(mac.Sum(nil)))
}

// jwk is a public key as a key set holds it.
func jwk(kid, alg string, key any) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"}
}

func allKeys() []any {
	return []any{
		jwk("rsa", "", rsaKey().Public()), jwk("ec", "", ecKey().Public()), jwk("ec384", "ES384", ec384Key().Public()), jwk("ed", "EdDSA", edKey().Public()),
	}
}

// keyServer is the HTTPS server of an issuer.
type keyServer struct {
	*httptest.Server
	hits chan struct{} // one for each request, when it comes

	mu    sync.Mutex
	reply http.HandlerFunc
}

func serveKeys(t *testing.T, keys ...any) *keyServer {
	t.Helper()
	s := &keyServer{hits: make(chan struct{}, 100_000)}
	s.set(keys...)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits <- struct{}{}
		s.mu.Lock()
		reply := s.reply
		s.mu.Unlock()
		reply(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // tests that end during a fetch break connections
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) answer(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = h
}

func (s *keyServer) set(keys ...any) {
	s.text(asJSON(map[string]any{"keys": append([]any{}, keys...)}))
}

func (s *keyServer) text(body string) {
	s.answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
}

// hit waits for n requests.
func (s *keyServer) hit(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-s.hits:
		case <-time.After(20 * time.Second):
			t.Fatal("the key set was not asked for")
		}
	}
}

func (s *keyServer) config(t *testing.T) Config {
	t.Helper()
	return Config{JWKSURL: must(url.Parse(s.URL)), Client: s.Client(), Kicks: neverKicked{}, Log: testLog(t)}
}

// slow is a pace that fetches once and then only when a token asks, and waits long.
func slow() pace {
	return pace{
		refresh: time.Hour, rest: time.Nanosecond, retry: time.Millisecond, retryMax: time.Millisecond, timeout: 20 * time.Second, patience: 20 * time.Second,
	}
}

// running makes a Checker and runs it until the test ends.
func running(t *testing.T, cfg Config, p pace) *Checker {
	t.Helper()
	c, err := newChecker(cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// check is Check for alice publishing in tea.
func check(t testing.TB, c *Checker, token string) error {
	t.Helper()
	_, err := c.CheckToken(context.Background(), tea, room.Pub, alice, token)
	return err
}

func wantGood(t testing.TB, c *Checker, token string) {
	t.Helper()
	if err := check(t, c, token); err != nil {
		t.Errorf("refused: %v", err)
	}
}

// wantBad wants a refusal whose detail holds words, and which does not repeat the token.
func wantBad(t testing.TB, c *Checker, token, words string) {
	t.Helper()
	wantCode(t, check(t, c, token), apierr.BadToken, words)
}

func wantCode(t testing.TB, err error, code apierr.Code, words string) {
	t.Helper()
	var e *apierr.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Detail, words) {
		t.Errorf("got %v, want %s with %q", err, code, words)
		return
	}
	if strings.Contains(e.Error(), "echo") { // the mark of what must not be repeated
		t.Errorf("the token is repeated: %v", err)
	}
	if (e.RetryAfter > 0) != (code == apierr.Unavailable) {
		t.Errorf("%v: Retry-After %v", err, e.RetryAfter)
	}
}

// testLog writes to the test's output.
func testLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
