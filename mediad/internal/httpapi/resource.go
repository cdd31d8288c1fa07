package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"weever/mediad/internal/sdpfrag"
	"weever/mediad/internal/session"
	"weever/shared/apierr"
	"weever/shared/auth"
)

// This file serves the URLs of sessions.

// resourceMethods is the Allow of a session's URL.
const resourceMethods = "GET, HEAD, PATCH, DELETE, OPTIONS"

// session serves the session URLs. They are secrets: a token is checked only where one is sent.
func (a *api) session(w http.ResponseWriter, r *request) error {
	w.Header().Set("Accept-Patch", sdpfrag.ContentType)
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Allow", resourceMethods)
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodDelete:
	default:
		w.Header().Set("Allow", resourceMethods)
		return apierr.New(apierr.BadMethod, "use PATCH for ICE, DELETE to end the session")
	}
	id := r.PathValue("session")
	if done, err := a.foreign(w, r, id); done {
		return err
	}
	if err := a.mayTouch(r, id); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPatch:
		return a.patch(w, r, id)
	case http.MethodDelete:
		if err := a.Sessions.End(r.role, r.room, r.full, id); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
	default:
		if !a.Sessions.Has(r.role, r.room, r.full, id) {
			return apierr.New(apierr.NoSession, "no such session; it has ended, so start again with a POST")
		}
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// mayTouch judges the token of a request for a session, if it has one. The token that the session was opened with stays good for
// it, though it may have expired and Redis be away.
func (a *api) mayTouch(r *request, id string) error {
	if len(r.Header["Authorization"]) == 0 || a.Tokens == nil || a.Sessions.OpenedWith(r.role, r.room, r.full, id, auth.Hash(r.token)) {
		return nil
	}
	_, err := a.check(r.Context(), r)
	return err
}

// fragment reads the body of a PATCH.
func (a *api) fragment(w http.ResponseWriter, r *request) (sdpfrag.Fragment, error) {
	if err := a.contentType(w, r, sdpfrag.ContentType); err != nil {
		return sdpfrag.Fragment{}, err
	}
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	frag, err := sdpfrag.Parse(body, "")
	switch {
	case errors.Is(err, sdpfrag.ErrTooLarge):
		return frag, apierr.New(apierr.TooLarge, "%s", err)
	case err != nil:
		return frag, apierr.New(apierr.BadSDP, "%s", err)
	}
	return frag, nil
}

// patch serves trickle ICE and ICE restarts (RFC 9725 section 4.3).
func (a *api) patch(w http.ResponseWriter, r *request, id string) error {
	frag, err := a.fragment(w, r)
	if err != nil {
		return err
	}
	reply, err := a.Sessions.Patch(r.Context(), r.role, r.room, r.full, id, session.PatchRequest{
		Fragment: frag, IfMatch: strings.Join(r.Header.Values("If-Match"), ","), Strict: a.Strict,
	})
	if err != nil {
		return err
	}
	if reply.Ufrag == "" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.Header().Set("Content-Type", sdpfrag.ContentType)
	w.Header().Set("ETag", `"`+reply.Ufrag+`"`)
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, reply.String())
	return nil
}
