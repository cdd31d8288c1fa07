// Package apierr turns what went wrong into what a client may read: one table from error code to HTTP status, one writer for the body.
//
// The Lambdas and the media node answer alike because both answer through Write. The cause of an error is for the log of
// whoever writes the reply; it never reaches the client.
package apierr

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Code names a kind of failure; it is the last part of the problem's "type".
type Code string

// The codes. Their HTTP statuses are in the table below.
const (
	BadName      Code = "bad-name"       // a room, id or session name breaks the rules
	BadRequest   Code = "bad-request"    // the body or a parameter is malformed
	BadSDP       Code = "bad-sdp"        // the offer or fragment cannot be parsed
	BadToken     Code = "bad-token"      // no token, or not the right one
	Forbidden    Code = "forbidden"      // known caller, not allowed
	NotFound     Code = "not-found"      // no such resource
	NoSession    Code = "no-session"     // the session has ended or never was
	BadMethod    Code = "bad-method"     // the resource does not know the method
	NobodyLive   Code = "nobody-live"    // nothing to play yet
	Superseded   Code = "superseded"     // a later request took the place
	Precondition Code = "precondition"   // If-Match names another state
	NeedsMatch   Code = "needs-if-match" // If-Match is required
	TooLarge     Code = "too-large"      // the body exceeds the limit
	BadType      Code = "bad-type"       // unsupported Content-Type
	Unacceptable Code = "unacceptable"   // well-formed, but cannot be served
	TooMany      Code = "too-many"       // rate limit
	Internal     Code = "internal"       // our fault
	Unavailable  Code = "unavailable"    // try again later: a backend is away, the node is full or draining
)

var table = map[Code]struct {
	status int
	title  string
}{
	BadName:      {http.StatusBadRequest, "Invalid name"},
	BadRequest:   {http.StatusBadRequest, "Bad request"},
	BadSDP:       {http.StatusBadRequest, "Malformed SDP"},
	BadToken:     {http.StatusUnauthorized, "Bad token"},
	Forbidden:    {http.StatusForbidden, "Forbidden"},
	NotFound:     {http.StatusNotFound, "Not found"},
	NoSession:    {http.StatusNotFound, "No such session"},
	BadMethod:    {http.StatusMethodNotAllowed, "Method not allowed"},
	NobodyLive:   {http.StatusConflict, "Nobody is live"},
	Superseded:   {http.StatusConflict, "Superseded"},
	Precondition: {http.StatusPreconditionFailed, "Precondition failed"},
	NeedsMatch:   {http.StatusPreconditionRequired, "Precondition required"},
	TooLarge:     {http.StatusRequestEntityTooLarge, "Body too large"},
	BadType:      {http.StatusUnsupportedMediaType, "Unsupported media type"},
	Unacceptable: {http.StatusUnprocessableEntity, "Cannot be served"},
	TooMany:      {http.StatusTooManyRequests, "Too many requests"},
	Internal:     {http.StatusInternalServerError, "Internal error"},
	Unavailable:  {http.StatusServiceUnavailable, "Unavailable"},
}

// Error is a failure with a sentence a person can act on.
type Error struct {
	Code       Code
	Detail     string        // shown to the client
	RetryAfter time.Duration // > 0: sent as Retry-After, in whole seconds, rounded up
	Err        error         // cause, for the log only; may be nil
}

// New makes an Error whose detail is formatted like fmt.Sprintf. Never put a cause's text into the detail: use Wrap.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error that hides cause from the client.
func Wrap(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...), Err: cause}
}

// After sets the time after which the client should try again and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Error gives code, detail and cause: the text for the log.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Status is the HTTP status of the error's code.
func (e *Error) Status() int { return table[e.Code].status }

// From finds the Error in err's chain; any other error becomes Internal with err as its hidden cause.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(Internal, err, "the server failed; its log says why")
}

// problem is the body of RFC 9457.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Write sends err as application/problem+json (RFC 9457) with the headers that its status calls for, and returns what was sent
// so that the caller can log it. A bad token is the plain text "bad token" unless the request accepts JSON: the original
// clients compare that text.
func Write(w http.ResponseWriter, r *http.Request, err error) *Error {
	e := From(err)
	row := table[e.Code]
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if e.RetryAfter > 0 {
		secs := (e.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(secs), 10))
	}
	if e.Code == BadToken {
		h.Set("WWW-Authenticate", "Bearer")
		if !AcceptsJSON(r) {
			h.Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(row.status)
			_, _ = w.Write([]byte("bad token"))
			return e
		}
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(row.status)
	body, _ := json.Marshal(problem{Type: "urn:weever:problem:" + string(e.Code), Title: row.title, Status: row.status, Detail: e.Detail})
	_, _ = w.Write(body)
	return e
}

// AcceptsJSON reports whether the request's Accept header names a JSON type. "*/*" does not count: browsers and curl send it
// unasked, and the original clients read plain text.
func AcceptsJSON(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(v, ",") {
			mt, _, _ := strings.Cut(strings.TrimSpace(part), ";")
			mt = strings.ToLower(strings.TrimSpace(mt))
			if mt == "application/json" || strings.HasSuffix(mt, "+json") {
				return true
			}
		}
	}
	return false
}
