package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/sdpfrag"
	"weever/mediad/internal/session"
	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
)

// This file serves the endpoints, where sessions begin.

// maxBody bounds a request's body, in bytes.
const maxBody = 256 << 10

const sdpType = "application/sdp"

// endpoint serves /pub/{room}/{id} and /sub/{room}/{id}.
func (a *api) endpoint(w http.ResponseWriter, r *request) error {
	switch r.Method {
	case http.MethodPost:
		return a.post(w, r)
	case http.MethodGet, http.MethodHead:
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Type", sdpType)
		}
		w.Header().Set("Accept-Post", sdpType)
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodOptions: // not a preflight: those do not come this far
		if _, err := a.check(r.Context(), r); err == nil {
			a.linkICE(w.Header(), r)
			w.Header().Set("Cache-Control", "no-store")
		}
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		w.WriteHeader(http.StatusOK)
		return nil
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		return apierr.New(apierr.BadMethod, "use POST with an SDP offer")
	}
}

// check judges the request's token. Where nobody needs one, everybody may do everything.
func (a *api) check(ctx context.Context, r *request) (auth.Grant, error) {
	if a.Tokens == nil {
		return auth.Grant{Say: true}, nil
	}
	return a.Tokens.CheckToken(ctx, r.room, r.role, r.full.ID(), r.token)
}

// linkICE tells a client who may come in which STUN and TURN servers to use (RFC 9725 section 4.6).
func (a *api) linkICE(h http.Header, r *request) {
	if a.ICE == nil {
		return
	}
	for _, link := range a.ICE.Links(r.full.String(), time.Now()) {
		h.Add("Link", link)
	}
}

// post starts a session (RFC 9725 section 4.2). Refusals come in the order of the design: name, token, type, size, SDP, state.
func (a *api) post(w http.ResponseWriter, r *request) error {
	grant, err := a.check(r.Context(), r)
	if err != nil {
		return err
	}
	if err := a.contentType(w, r, sdpType); err != nil {
		return err
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	offer, err := peer.ParseOffer(r.role, string(body))
	if err != nil {
		return err
	}
	entry := session.Entry{
		Room: r.room, Full: r.full, Offer: offer, Client: r.client, Token: auth.Hash(r.token), Grant: grant,
		Allowed: func(ctx context.Context) error {
			_, err := a.check(ctx, r)
			return err
		},
	}
	var ans *session.Answer
	if r.role == room.Pub {
		ans, err = a.Sessions.Publish(r.Context(), entry)
	} else {
		q := r.URL.Query()
		opt := session.SubOptions{Manual: q.Get("sub") == "manual", Pub: strings.ReplaceAll(q.Get("pub"), " ", "+")} // a + is a space in a query, and no name has one
		ans, err = a.Sessions.Subscribe(r.Context(), entry, opt)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", sdpType)
	h.Set("Location", "/"+string(r.role)+"/"+r.room.String()+"/"+r.full.String()+"/"+ans.Session)
	h.Set("ETag", `"`+ans.ETag+`"`)
	h.Set("Accept-Patch", sdpfrag.ContentType)
	h.Set("Cache-Control", "no-store")
	a.linkICE(h, r)
	if ans.Plain {
		linkExtensions(h)
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, ans.SDP)
	return nil
}

// contentType refuses a body of another type: 415, or the 400 that some real clients tolerate.
func (a *api) contentType(w http.ResponseWriter, r *request, want string) error {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && got == want {
		return nil
	}
	code := apierr.BadRequest
	if a.Strict {
		code = apierr.BadType
	}
	if want == sdpfrag.ContentType {
		w.Header().Set("Accept-Patch", want)
	} else {
		w.Header().Set("Accept-Post", want)
	}
	return apierr.New(code, "send the body as Content-Type: %s", want)
}

// readBody reads at most limit bytes.
func readBody(w http.ResponseWriter, r *request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return nil, apierr.New(apierr.TooLarge, "the body is larger than %d bytes", limit)
	case err != nil:
		return nil, apierr.Wrap(apierr.BadRequest, err, "the body could not be read whole")
	}
	return body, nil
}
