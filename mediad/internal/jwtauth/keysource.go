package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weever/shared/apierr"
)

// This file is used by Checker: its Run is keySource.run, its CheckToken looks keys up.

const (
	maxBody      = 256 << 10 // bytes of a key set
	maxRedirects = 3
)

// pace says how often keys are fetched and how long anybody waits for them.
type pace struct {
	refresh  time.Duration // between fetches that nobody asked for; how long a key lives after it was taken out of the set
	rest     time.Duration // least time between two fetches, however many unknown keys tokens name
	retry    time.Duration // after a failed fetch, doubled each time …
	retryMax time.Duration // … up to this
	timeout  time.Duration // of one fetch
	patience time.Duration // how long one token waits for a fetch
}

func usualPace() pace {
	return pace{
		refresh: 5 * time.Minute, rest: 10 * time.Second, retry: time.Second, retryMax: 30 * time.Second, timeout: 5 * time.Second, patience: 2 * time.Second,
	}
}

// keySource holds the keys of a key set's URL. One goroutine, run, fetches them: whatever tokens ask for, there is one fetch at a time,
// and a pause after each. Looking up takes the lock for a moment and never waits for a fetch unless the key is unknown.
type keySource struct {
	url    *url.URL
	client *http.Client
	pace   pace
	log    *slog.Logger
	wish   chan struct{} // capacity 1: a token named an unknown key

	mu       sync.Mutex
	keys     keySet
	err      error         // of the last fetch; not nil before the first has ended
	busy     bool          // a fetch is under way
	restless time.Time     // the end of the pause after the last fetch: before it nobody's wish is heard
	fetched  chan struct{} // closed and replaced when a fetch ends
}

var errNotFetched = errors.New("the key set has not been fetched yet")

func newKeySource(u *url.URL, client *http.Client, p pace, log *slog.Logger) *keySource {
	var own http.Client
	if client != nil {
		own = *client
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		own.Transport = t.Clone()
	}
	own.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		if !trustworthy(next.URL, u.Scheme == "http") {
			return errors.New("redirected to a place that is not https")
		}
		return nil
	}
	return &keySource{
		url: u, client: &own, pace: p, log: log, wish: make(chan struct{}, 1), err: errNotFetched, fetched: make(chan struct{}),
	}
}

// find returns the keys that a token with this kid and alg may be signed with, at least one. When there is none it asks for a fetch and
// waits for it, if one is due.
func (s *keySource) find(ctx context.Context, kid string, alg jose.SignatureAlgorithm) ([]any, error) {
	keys, fetched, err := s.look(kid, alg, true)
	if fetched != nil {
		if err := s.await(ctx, fetched); err != nil {
			return nil, keysAway(err)
		}
		keys, _, err = s.look(kid, alg, false)
	}
	switch {
	case len(keys) > maxTried:
		return nil, bad("too many keys of the key set fit the token; give each key an id of its own and name it in the token (kid)")
	case len(keys) > 0:
		return keys, nil
	case err != nil: // the set that we know is old, or none at all: the key may be in the new one
		return nil, keysAway(err)
	case kid == "":
		return nil, bad("the key set has no key for the token's algorithm (alg)")
	}
	return nil, bad("the key set has no key with the token's key id (kid) for its algorithm (alg)")
}

// look returns the keys known now and how the last fetch ended. When no key fits and another fetch is under way or may begin, and ask is
// true, it asks for it and returns the channel that is closed when it has ended.
func (s *keySource) look(kid string, alg jose.SignatureAlgorithm, ask bool) (keys []any, fetched <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys = s.keys.find(kid, alg)
	if len(keys) > 0 || !ask || !s.busy && time.Now().Before(s.restless) {
		return keys, nil, s.err
	}
	if !s.busy {
		select {
		case s.wish <- struct{}{}:
		default: // somebody asked already
		}
	}
	return nil, s.fetched, s.err
}

// await returns when a fetch has ended; its error says why it waits no longer.
func (s *keySource) await(ctx context.Context, fetched <-chan struct{}) error {
	patience := time.NewTimer(s.pace.patience)
	defer patience.Stop()
	select {
	case <-fetched:
		return nil
	case <-patience.C:
		return errors.New("the fetch of the key set takes long")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run fetches until ctx ends.
func (s *keySource) run(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	var retry time.Duration
	for {
		s.begin()
		keys, skipped, err := s.fetch(ctx)
		if ctx.Err() != nil {
			s.end(nil, 0, errNotFetched, 0)
			return
		}
		var rest, idle time.Duration
		if err != nil {
			retry = min(max(2*retry, s.pace.retry), s.pace.retryMax)
			rest = retry
		} else {
			retry = 0
			rest = s.pace.rest
			idle = s.pace.refresh + rand.N(s.pace.refresh/10+1) // nodes that started together do not fetch together for ever
		}
		s.end(keys, skipped, err, rest)
		if !pause(ctx, rest, nil) || !pause(ctx, idle, s.wish) {
			return
		}
	}
}

// pause waits for d, or for less if wish comes; false when ctx has ended.
func pause(ctx context.Context, d time.Duration, wish <-chan struct{}) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wish:
	case <-ctx.Done():
		return false
	}
	return true
}

func (s *keySource) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = true
	select {
	case <-s.wish: // this fetch grants it
	default:
	}
}

// end notes how a fetch ended and wakes those who wait for it. After a failure the keys stay as they were.
func (s *keySource) end(keys keySet, skipped int, err error, rest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, known := s.err, len(s.keys)
	s.busy, s.err, s.restless = false, err, time.Now().Add(rest)
	if err == nil {
		s.keys = keys
	}
	close(s.fetched)
	s.fetched = make(chan struct{})
	switch {
	case err == nil && (was != nil || known != len(keys)):
		s.log.Info("signing keys fetched", "keys", len(keys), "unusable", skipped)
	case err != nil && !errors.Is(err, errNotFetched) && (was == nil || errors.Is(was, errNotFetched)):
		s.log.Warn("signing keys cannot be fetched; those known stay in force, and it is tried again", "keys", known, "err", err)
	}
}

// fetch gets the key set. Its errors do not hold the URL, which may hold a password.
func (s *keySource) fetch(ctx context.Context) (keySet, int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.pace.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return nil, 0, errors.New("the URL cannot be asked")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json") // RFC 7517 section 8.5.2
	resp, err := s.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the status of the reply is %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read the reply: %w", err)
	}
	if len(body) > maxBody {
		return nil, 0, fmt.Errorf("the reply is larger than %d bytes", maxBody)
	}
	return parseKeySet(body)
}

// keysAway is what a token's bearer learns when keys cannot tell; cause is for the log.
func keysAway(cause error) error {
	return apierr.Wrap(apierr.Unavailable, cause, "the keys that tokens are signed with cannot be fetched now; try again").After(retryAfter)
}

// isLoopback reports whether host is this machine by name or address.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}
