// Package whip speaks the HTTP side of WHIP and WHEP: POST opens a session, PATCH changes it, DELETE ends it.
package whip

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBody bounds what is read of an HTTP answer, in bytes.
const maxBody = 1 << 20

// StatusError is an answer that is not the one hoped for.
type StatusError struct {
	Method     string
	Status     int
	Detail     string        // from the body: a problem's detail, or its first line
	RetryAfter time.Duration // 0 when the answer does not say
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s was answered %d %s", e.Method, e.Status, strings.TrimSpace(http.StatusText(e.Status)+" "+e.Detail))
}

// Resource is one session on a server. Whoever opened it owns it; it starts nothing. Any goroutine may call its methods.
type Resource struct {
	client *http.Client // fixed, as token is
	token  string

	mu       sync.Mutex
	location string // absolute URL of the session; empty before POST
	etag     string // of the present ICE session
}

// New makes a Resource that is not open yet. token is sent as a bearer token unless it is empty.
func New(client *http.Client, token string) *Resource {
	return &Resource{client: client, token: token}
}

// Reply is the answer to a PATCH.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// Post sends the offer and returns the answer. Whatever is not 201 is a *StatusError.
func (r *Resource) Post(ctx context.Context, endpoint, offer string) (answer string, err error) {
	reply, from, err := r.do(ctx, http.MethodPost, endpoint, "application/sdp", offer, "")
	if err != nil {
		return "", err
	}
	if reply.Status != http.StatusCreated {
		return "", reply.Failure(http.MethodPost)
	}
	location, err := from.Parse(reply.Header.Get("Location"))
	if err != nil || reply.Header.Get("Location") == "" {
		return "", errors.New("POST was answered without a usable Location")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.location, r.etag = location.String(), reply.Header.Get("ETag")
	return reply.Body, nil
}

// Patch sends body to the session. ifMatch is sent as it is; empty leaves the header out.
func (r *Resource) Patch(ctx context.Context, contentType, body, ifMatch string) (Reply, error) {
	location := r.Location()
	if location == "" {
		return Reply{}, errors.New("PATCH before POST")
	}
	reply, _, err := r.do(ctx, http.MethodPatch, location, contentType, body, ifMatch)
	if err != nil {
		return Reply{}, err
	}
	if tag := reply.Header.Get("ETag"); reply.Status == http.StatusOK && tag != "" {
		r.mu.Lock()
		r.etag = tag
		r.mu.Unlock()
	}
	return reply, nil
}

// Delete ends the session. One that is gone already is no error.
func (r *Resource) Delete(ctx context.Context) error {
	location := r.Location()
	if location == "" {
		return nil
	}
	reply, _, err := r.do(ctx, http.MethodDelete, location, "", "", "")
	if err != nil {
		return err
	}
	if reply.Status >= 300 && reply.Status != http.StatusNotFound && reply.Status != http.StatusGone {
		return reply.Failure(http.MethodDelete)
	}
	return nil
}

// Location is the URL of the session, a secret; empty before Post.
func (r *Resource) Location() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.location
}

// ETag is the entity tag of the present ICE session; empty when the server gave none.
func (r *Resource) ETag() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.etag
}

// do sends one request. from is the URL that answered, after redirects. Errors do not name the URL: a session's is a secret.
func (r *Resource) do(ctx context.Context, method, target, contentType, body, ifMatch string) (_ Reply, from *url.URL, err error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader([]byte(body)))
	if err != nil {
		return Reply{}, nil, fmt.Errorf("%s: malformed URL", method)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", ifMatch)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return Reply{}, nil, fmt.Errorf("%s: %w", method, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Reply{}, nil, fmt.Errorf("%s: reading the answer: %w", method, err)
	}
	return Reply{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}, resp.Request.URL, nil
}

// Failure turns the reply to a request of the given method into a *StatusError.
func (r Reply) Failure(method string) error {
	e := &StatusError{Method: method, Status: r.Status}
	var problem struct{ Detail, Title string }
	if strings.Contains(r.Header.Get("Content-Type"), "json") && json.Unmarshal([]byte(r.Body), &problem) == nil {
		e.Detail = cmp.Or(problem.Detail, problem.Title)
	} else {
		line, _, _ := strings.Cut(strings.TrimSpace(r.Body), "\n")
		e.Detail = line[:min(len(line), 200)]
	}
	if secs, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && secs > 0 {
		e.RetryAfter = time.Duration(secs) * time.Second
	}
	return e
}
