package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/session"
	"weever/shared/apierr"
)

// This file lets any node answer for any session: a PATCH or DELETE that reaches the wrong node is sent to the owner over the bus,
// as the bytes of an HTTP request, and its reply is relayed. A session id names its owner's process.

// callTimeout is what the owner of a session may take.
const callTimeout = 2 * time.Second

// Caller reaches other nodes; it is nodecall.Calls.
type Caller interface {
	Call(ctx context.Context, instance, verb string, req []byte) ([]byte, error)
}

// VerbSession is the node call that Foreign serves.
const VerbSession = "session"

// foreign relays a request for a session of another process, which judges it whole. It is false when the session is this process's
// to answer for.
func (a *api) foreign(w http.ResponseWriter, r *request, id string) (bool, error) {
	owner, ok := session.OwnerOf(id)
	if !ok || owner == a.Sessions.Instance() || a.Nodes == nil {
		return false, nil
	}
	var body []byte
	if r.Method == http.MethodPatch || r.Method == http.MethodPost { // the others need none
		var err error
		if body, err = readBody(w, r, maxBody); err != nil {
			return true, err
		}
	}
	fwd := r.Clone(r.Context())
	fwd.Body, fwd.ContentLength, fwd.TransferEncoding = http.NoBody, int64(len(body)), nil
	if len(body) > 0 {
		fwd.Body = io.NopCloser(bytes.NewReader(body))
	}
	var msg bytes.Buffer
	if err := fwd.Write(&msg); err != nil {
		return true, apierr.Wrap(apierr.BadRequest, err, "the request cannot be passed on")
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	answer, err := a.Nodes.Call(ctx, owner, VerbSession, msg.Bytes())
	switch {
	case errors.Is(err, nodecall.ErrNoNode):
		return true, apierr.New(apierr.NoSession, "the node of this session is gone; start again with a POST")
	case err != nil:
		return true, apierr.Wrap(apierr.Unavailable, err, "the node of this session does not answer; try again").After(time.Second)
	}
	return true, relayReply(w, answer)
}

// relayReply writes the owner's reply as our own.
func relayReply(w http.ResponseWriter, answer []byte) error {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return apierr.Wrap(apierr.Internal, err, "the node of this session gave no proper answer")
	}
	defer resp.Body.Close()
	for _, name := range []string{
		"Content-Type", "Location", "ETag", "Allow", "Accept-Patch", "Accept-Post", "Retry-After", "WWW-Authenticate", "Cache-Control",
	} {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(resp.Body, maxBody))
	return nil
}

// Foreign returns the handler of VerbSession: it answers for this process's sessions and passes nothing on, so that no request can
// go in circles.
func Foreign(cfg Config) func(context.Context, []byte) ([]byte, error) {
	cfg.Nodes = nil
	h := (&api{cfg}).mux()
	return func(ctx context.Context, msg []byte) ([]byte, error) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(msg)))
		if err != nil {
			return nil, err
		}
		w := &recorder{status: http.StatusOK, header: http.Header{}}
		h.ServeHTTP(w, r.WithContext(ctx))
		var out bytes.Buffer
		err = (&http.Response{
			StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
			Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
		}).Write(&out)
		return out.Bytes(), err
	}
}

// recorder keeps a reply.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
