package checklist

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"weever/mediad/internal/check/probe"
	"weever/mediad/internal/check/request"
)

const (
	postTries  = 4
	postWait   = 500 * time.Millisecond // before the next try, where the reply does not say
	maxWait    = 5 * time.Second
	closeLimit = 5 * time.Second // for closing all that is left
)

// Config says what is checked, and how.
type Config struct {
	Endpoint string
	Player   bool   // a WHEP endpoint, else WHIP
	Token    string // of the endpoint
	Strict   bool   // a PATCH without If-Match must be refused
	Flood    bool   // provoke the rate limit
	Origin   string // of a page that uses the endpoint
	// Consent is how long to wait for a session that has fallen silent to end; 0: do not look.
	Consent time.Duration
}

// Run is one check. The rows use it one after the other: it is for one goroutine.
type Run struct {
	Config
	HTTP *request.Client

	// Before is the reply to a POST while nobody was live; its Status is 0 when there was none.
	Before request.Reply

	first    *Session // see First
	firstErr error
	open     []*Session
	paths    []string // of all session URLs, with their queries
	tags     []string // ETags of all sessions
	secrets  []string
	verdicts map[string]Verdict
}

// NewRun starts a check; transport is what HTTP goes over. The caller must Close it.
func NewRun(cfg Config, transport http.RoundTripper) *Run {
	return &Run{Config: cfg, HTTP: request.New(transport), secrets: []string{cfg.Token}, verdicts: map[string]Verdict{}}
}

// Direction is what a client of the endpoint offers: sendonly or recvonly.
func (r *Run) Direction() string {
	if r.Player {
		return "recvonly"
	}
	return "sendonly"
}

// Answers is the direction that the server's answers must have.
func (r *Run) Answers() string {
	if r.Player {
		return "sendonly"
	}
	return "recvonly"
}

// Keep notes the verdict of a row, for rows that sum up others.
func (r *Run) Keep(id string, v Verdict) { r.verdicts[id] = v }

// Verdict is what Keep was told of a row.
func (r *Run) Verdict(id string) (v Verdict, ok bool) {
	v, ok = r.verdicts[id]
	return v, ok
}

// Paths lists the paths and queries of all session URLs so far; they are secrets.
func (r *Run) Paths() []string { return r.paths }

// Tags lists the ETags of all sessions opened so far.
func (r *Run) Tags() []string { return r.tags }

// Secrets lists what must not be shown.
func (r *Run) Secrets() []string { return r.secrets }

// Hide adds a secret.
func (r *Run) Hide(secret string) {
	if !slices.Contains(r.secrets, secret) {
		r.secrets = append(r.secrets, secret)
	}
}

// Ask sends a request to the endpoint with the token, unless the request brings its own URL.
func (r *Run) Ask(ctx context.Context, q request.Request) (request.Reply, error) {
	if q.URL == "" {
		q.URL = r.Endpoint
	}
	return r.HTTP.Do(ctx, q)
}

// Post sends an offer to the endpoint once.
func (r *Run) Post(ctx context.Context, offer string) (request.Reply, error) {
	return r.Ask(ctx, request.Request{Method: http.MethodPost, Type: "application/sdp", Body: offer, Token: r.Token})
}

// Refusal is the error of a POST that opened no session.
type Refusal struct{ request.Reply }

// Error implements error.
func (e *Refusal) Error() string {
	text := e.String()
	switch {
	case e.OK():
		text += " without a usable Location"
	case e.Status == http.StatusUnauthorized:
		text += ": the endpoint wants another token"
	}
	return text
}

// Open opens a session with an offer. Where the server says that it is busy with another one, or overloaded, it tries again.
// The error is a *Refusal when there was a reply.
func (r *Run) Open(ctx context.Context, offer string) (*Session, error) {
	for try := 1; ; try++ {
		reply, err := r.Post(ctx, offer)
		if err != nil {
			return nil, err
		}
		if s := r.Adopt(offer, reply); s != nil {
			return s, nil
		}
		busy := reply.Status == http.StatusServiceUnavailable || reply.Status == http.StatusTooManyRequests || reply.Status == http.StatusConflict
		if !busy || try == postTries {
			return nil, &Refusal{reply}
		}
		select {
		case <-time.After(retryAfter(reply)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func retryAfter(reply request.Reply) time.Duration {
	secs, err := strconv.Atoi(reply.Header.Get("Retry-After"))
	if err != nil || secs < 0 {
		return postWait
	}
	return min(time.Duration(secs)*time.Second, maxWait)
}

// Live opens a session with media.
func (r *Run) Live(ctx context.Context) (*Session, error) {
	first, err := r.First(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, liveLimit)
	defer cancel()
	var s *Session
	exchange := func(ctx context.Context, offer string) (string, error) {
		if s, err = r.Open(ctx, offer); err != nil {
			return "", err
		}
		return s.Reply.Body, nil
	}
	var live *probe.Live
	if r.Player {
		live, err = probe.Play(ctx, exchange)
	} else {
		live, err = probe.Publish(ctx, exchange, first.Answer.VideoCodec())
	}
	if err != nil {
		if s != nil {
			r.Close(ctx, s)
			return nil, fmt.Errorf("%s, but media does not connect: %w", s.Reply, err)
		}
		return nil, err
	}
	s.Live = live
	return s, nil
}

// liveLimit bounds the opening of a session with media.
const liveLimit = 15 * time.Second

// First opens a session with a plain offer, and closes it: what the server answers to a usual client. The later calls return what
// the first one did.
func (r *Run) First(ctx context.Context) (*Session, error) {
	if r.first == nil && r.firstErr == nil {
		r.first, r.firstErr = r.Open(ctx, probe.Plain(r.Direction()).SDP())
		if r.firstErr == nil {
			r.Close(ctx, r.first)
			if r.first.Answer == nil {
				r.firstErr = fmt.Errorf("%s, but the body is %w", r.first.Reply, probe.ErrSDP)
			}
		}
	}
	return r.first, r.firstErr
}

// Reply is the reply to First's POST, whether it opened a session or not; false when there was none.
func (r *Run) Reply(ctx context.Context) (request.Reply, error) {
	s, err := r.First(ctx)
	var refused *Refusal
	switch {
	case s != nil:
		return s.Reply, nil
	case errors.As(err, &refused):
		return refused.Reply, nil
	}
	return request.Reply{}, err
}

// CloseAll ends the sessions that are still open. It takes some seconds at most, even when ctx is over.
func (r *Run) CloseAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	for len(r.open) > 0 {
		r.end(ctx, r.open[0])
	}
}
