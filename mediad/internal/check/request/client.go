// Package request sends the HTTP requests of a check and reads what is in the headers of the replies.
//
// The rows of the checklist call it. It judges nothing: redirects are followed even where they are wrong, so that one fault of a
// server does not hide the others, and everything that happened on the way is counted in a Ledger.
package request

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxBody   = 1 << 20          // bytes that are read of a reply
	maxHops   = 5                // redirects of one request
	patience  = 10 * time.Second // for one reply
	perSecond = 100              // requests at most: a check is no load test
	burst     = 20
)

// Client sends requests. Any goroutine may call it; it starts nothing.
type Client struct {
	http *http.Client
	pace *rate.Limiter

	mu     sync.Mutex
	ledger Ledger
}

// Ledger counts what has come of all requests.
type Ledger struct {
	Requests  int         // replies, redirects among them
	Redirects map[int]int // by status
	Problems  int         // errors that are application/problem+json
	Errors    int         // errors, 400 and above, with a body
	Overloads int         // 503 and 429
	Silent    int         // those of them without a Retry-After
}

// New makes a Client on a transport. A nil transport is http.DefaultTransport.
func New(transport http.RoundTripper) *Client {
	return &Client{
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		pace:   rate.NewLimiter(perSecond, burst),
		ledger: Ledger{Redirects: map[int]int{}},
	}
}

// Request is one request. Empty fields are left out of it.
type Request struct {
	Method, URL string
	Type, Body  string
	Token       string // bearer token
	IfMatch     string // as it is to be sent
	Header      map[string]string
	Rush        bool // do not pace it
}

// Reply is the last reply to a request, after redirects.
type Reply struct {
	Method string
	Status int
	Header http.Header
	Body   string
	URL    *url.URL // that answered
	Took   time.Duration
}

// OK reports whether the status is one of success.
func (r Reply) OK() bool { return r.Status/100 == 2 }

// Refused reports whether the status blames the request.
func (r Reply) Refused() bool { return r.Status/100 == 4 }

// Missing reports whether the reply is one of a session that is not there: the request is refused, and neither for its tag, nor its
// token, nor because there are too many.
func (r Reply) Missing() bool {
	switch r.Status {
	case http.StatusPreconditionFailed, http.StatusPreconditionRequired, http.StatusUnauthorized, http.StatusTooManyRequests:
		return false
	}
	return r.Refused()
}

// String is the reply as evidence: method and status alone.
func (r Reply) String() string { return fmt.Sprintf("%s → %d", r.Method, r.Status) }

// Do sends r and follows redirects with method and body unchanged. The token goes along to the same host and its sub-domains only.
// The error says that there was no reply; it does not name the URL, which may be a secret.
//
// It takes ten seconds at most. The reply to a POST is waited for even when ctx ends: it names the session that must be deleted then.
func (c *Client) Do(ctx context.Context, r Request) (Reply, error) {
	if r.Method == http.MethodPost && ctx.Err() == nil {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	target, err := url.Parse(r.URL)
	if err != nil {
		return Reply{}, fmt.Errorf("%s: the URL is malformed", r.Method)
	}
	for range maxHops + 1 {
		if !r.Rush {
			if err := c.pace.Wait(ctx); err != nil {
				return Reply{}, fmt.Errorf("%s: %w", r.Method, err)
			}
		}
		reply, err := c.once(ctx, r, target)
		if err != nil {
			return Reply{}, err
		}
		c.enter(reply)
		next := leadsTo(reply)
		if next == nil {
			return reply, nil
		}
		if !trusted(target, next) {
			r.Token = ""
		}
		target = next
	}
	return Reply{}, fmt.Errorf("%s: more than %d redirects", r.Method, maxHops)
}

// Ledger returns the counts so far.
func (c *Client) Ledger() Ledger {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.ledger
	l.Redirects = map[int]int{}
	for status, n := range c.ledger.Redirects {
		l.Redirects[status] = n
	}
	return l
}

func (c *Client) once(ctx context.Context, r Request, target *url.URL) (Reply, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader([]byte(r.Body)))
	if err != nil {
		return Reply{}, fmt.Errorf("%s: the request cannot be made", r.Method)
	}
	req.Header.Set("User-Agent", "weever-check")
	for name, value := range map[string]string{"Content-Type": r.Type, "If-Match": r.IfMatch} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return Reply{}, fmt.Errorf("%s: %w", r.Method, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Reply{}, fmt.Errorf("%s: reading the reply: %w", r.Method, err)
	}
	return Reply{Method: r.Method, Status: resp.StatusCode, Header: resp.Header, Body: string(body), URL: target, Took: time.Since(began)}, nil
}

// enter counts one reply.
func (c *Client) enter(r Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger.Requests++
	switch {
	case r.Status/100 == 3:
		c.ledger.Redirects[r.Status]++
	case r.Status >= 400 && r.Body != "":
		c.ledger.Errors++
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/problem+json") {
			c.ledger.Problems++
		}
	}
	if r.Status == http.StatusServiceUnavailable || r.Status == http.StatusTooManyRequests {
		c.ledger.Overloads++
		if r.Header.Get("Retry-After") == "" {
			c.ledger.Silent++
		}
	}
}

// leadsTo is where a redirect leads; nil when the reply is none.
func leadsTo(r Reply) *url.URL {
	switch r.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	next, err := r.URL.Parse(r.Header.Get("Location"))
	if err != nil || r.Header.Get("Location") == "" || (next.Scheme != "http" && next.Scheme != "https") {
		return nil
	}
	return next
}

// trusted reports whether a token for from may be told to the server of to.
func trusted(from, to *url.URL) bool {
	if from.Scheme == "https" && to.Scheme != "https" {
		return false
	}
	return to.Hostname() == from.Hostname() || strings.HasSuffix(to.Hostname(), "."+from.Hostname())
}
