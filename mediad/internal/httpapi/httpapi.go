// Package httpapi is the node's public HTTP face: WHIP, WHEP and Weever's own subscriptions. It is the only place of the node
// that knows HTTP.
//
// main mounts New's handler; every request is checked here, in the order of the design's refusals, and handed to package session.
package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"strings"

	"github.com/rs/cors"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/sdpfrag"
	"weever/mediad/internal/session"
	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
	"weever/shared/store"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 256 << 10

const sdpType = "application/sdp"

// Config is what the handler works with.
type Config struct {
	Sessions *session.Service
	Nodes    Caller       // passes requests for sessions of other nodes on; nil: they are unknown
	Store    *store.Store // checks tokens
	NoAuth   bool         // nobody needs a token
	Strict   bool         // RFC 9725 to the letter where the lenient default helps real clients
	Origins  []string     // allowed by CORS, as hosts; each with its sub-domains. "*" allows all
	Site     http.Handler // served at /; nil: nothing is
	Control  http.Handler // the control API, on the public port for development alone; nil: not there
	Log      *slog.Logger
}

type api struct{ Config }

// New makes the public handler.
func New(cfg Config) http.Handler {
	a := &api{cfg}
	return a.cors().Handler(a.secure(a.mux()))
}

func (a *api) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, role := range []room.Role{room.Pub, room.Sub} {
		endpoint := "/" + string(role) + "/{room}/{id}"
		mux.Handle(endpoint, a.serve(role, a.endpoint))
		mux.Handle(endpoint+"/{session}", a.serve(role, a.session))
	}
	if a.Control != nil {
		for _, pattern := range []string{"/create/", "/list/", "/rooms", "DELETE /pub/{room}/{id}", "DELETE /sub/{room}/{id}"} {
			mux.Handle(pattern, a.Control)
		}
	}
	mux.HandleFunc("/", a.rest)
	return mux
}

// rest serves the site, where there is one, and says where to go for everything else.
func (a *api) rest(w http.ResponseWriter, r *http.Request) {
	if a.Site != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		a.Site.ServeHTTP(w, r)
		return
	}
	apierr.Write(w, r, apierr.New(apierr.NotFound, "there is nothing here; publish at /pub/{room}/{id}, subscribe at /sub/{room}/{id}"))
}

// request is a request whose names and token are in order.
type request struct {
	*http.Request
	role   room.Role
	room   room.Name
	full   room.FullID
	token  string
	client netip.Addr // who is behind it; invalid for what another node passes on
}

// serve validates names, runs fn and writes whatever error it returns; the one place where requests are logged.
func (a *api) serve(role room.Role, fn func(http.ResponseWriter, *request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := &request{Request: r, role: role, token: auth.Bearer(r)}
		err := req.parse()
		if err == nil {
			err = fn(w, req)
		}
		if err == nil {
			return
		}
		if r.Context().Err() != nil && apierr.From(err).Code == apierr.Internal {
			err = apierr.Wrap(apierr.Unavailable, err, "the request was given up") // the client has gone: no fault of ours
		}
		e := apierr.Write(w, r, err)
		level := slog.LevelDebug
		if e.Status() == http.StatusInternalServerError {
			level = slog.LevelError
		}
		a.Log.Log(r.Context(), level, "request refused", "method", r.Method, "role", string(role), "room", req.room.String(),
			"peer", req.full.String(), "status", e.Status(), "err", e)
	})
}

func (r *request) parse() (err error) {
	if r.room, err = room.ParseName(r.PathValue("room")); err != nil {
		return badName(err)
	}
	if r.full, err = room.ParseFullID(r.PathValue("id")); err != nil {
		return badName(err)
	}
	return nil
}

// badName passes on the rule that was broken; the texts of package room are meant for clients.
func badName(err error) error {
	return apierr.New(apierr.BadName, "%s", strings.TrimPrefix(err.Error(), room.ErrName.Error()+": "))
}

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
	case http.MethodOptions:
		w.Header().Set("Accept-Post", sdpType)
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		w.WriteHeader(http.StatusOK)
		return nil
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		return apierr.New(apierr.BadMethod, "use POST with an SDP offer")
	}
}

// allowed checks the request's token.
func (a *api) allowed(r *request) func(context.Context) error {
	return func(ctx context.Context) error {
		if a.NoAuth {
			return nil
		}
		return a.Store.CheckToken(ctx, r.room, r.role, r.full.ID(), r.token)
	}
}

// post starts a session (RFC 9725 section 4.2). Refusals come in the order of the design: name, token, type, size, SDP, state.
func (a *api) post(w http.ResponseWriter, r *request) error {
	allowed := a.allowed(r)
	if err := allowed(r.Context()); err != nil {
		return err
	}
	if err := a.contentType(w, r, sdpType); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	offer, err := peer.ParseOffer(r.role, string(body))
	if err != nil {
		return err
	}
	entry := session.Entry{Room: r.room, Full: r.full, Offer: offer, Client: r.client, Allowed: allowed}
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
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, ans.SDP)
	return nil
}

// session serves the session URLs. They are secrets: a token is checked only where one is sent.
func (a *api) session(w http.ResponseWriter, r *request) error {
	id := r.PathValue("session")
	if r.Method != http.MethodOptions && r.token != "" {
		if err := a.allowed(r)(r.Context()); err != nil {
			return err
		}
	}
	var body []byte
	var frag sdpfrag.Fragment
	if r.Method == http.MethodPatch { // what is wrong with the request itself comes before what the session says
		var err error
		if body, frag, err = a.fragment(w, r); err != nil {
			return err
		}
	}
	if r.Method != http.MethodOptions {
		if done, err := a.foreign(w, r, id, body); done {
			return err
		}
	}
	switch r.Method {
	case http.MethodPatch:
		return a.patch(w, r, id, frag)
	case http.MethodDelete:
		if err := a.Sessions.End(r.role, r.room, r.full, id); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodGet, http.MethodHead:
		if !a.Sessions.Has(r.role, r.room, r.full, id) {
			return apierr.New(apierr.NoSession, "no such session; it has ended, so start again with a POST")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodOptions:
		w.Header().Set("Accept-Patch", sdpfrag.ContentType)
		w.Header().Set("Allow", "GET, HEAD, PATCH, DELETE, OPTIONS")
		w.WriteHeader(http.StatusOK)
		return nil
	default:
		w.Header().Set("Allow", "GET, HEAD, PATCH, DELETE, OPTIONS")
		return apierr.New(apierr.BadMethod, "use PATCH for ICE, DELETE to end the session")
	}
}

// fragment reads the body of a PATCH, as it came and parsed.
func (a *api) fragment(w http.ResponseWriter, r *request) ([]byte, sdpfrag.Fragment, error) {
	if err := a.contentType(w, r, sdpfrag.ContentType); err != nil {
		return nil, sdpfrag.Fragment{}, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, sdpfrag.Fragment{}, err
	}
	frag, err := sdpfrag.Parse(body, "")
	switch {
	case errors.Is(err, sdpfrag.ErrTooLarge):
		return nil, frag, apierr.New(apierr.TooLarge, "%s", err)
	case err != nil:
		return nil, frag, apierr.New(apierr.BadSDP, "%s", err)
	}
	return body, frag, nil
}

// patch serves trickle ICE and ICE restarts (RFC 9725 section 4.3).
func (a *api) patch(w http.ResponseWriter, r *request, id string, frag sdpfrag.Fragment) error {
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
	if want == sdpType {
		w.Header().Set("Accept-Post", want)
	} else {
		w.Header().Set("Accept-Patch", want)
	}
	return apierr.New(code, "send the body as Content-Type: %s", want)
}

// readBody reads at most maxBody bytes.
func readBody(w http.ResponseWriter, r *request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return nil, apierr.New(apierr.TooLarge, "the body is larger than %d bytes", maxBody)
	case err != nil:
		return nil, apierr.Wrap(apierr.BadRequest, err, "the body could not be read whole")
	}
	return body, nil
}

// secure sets the headers that keep a browser from making more of a reply than it is.
func (a *api) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// cors lets pages of the configured domains use the API (RFC 9725 section 4.2 and what real clients send).
func (a *api) cors() *cors.Cors {
	return cors.New(cors.Options{
		AllowOriginFunc:      a.originAllowed,
		AllowedMethods:       []string{"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"},
		AllowedHeaders:       []string{"Authorization", "Content-Type", "If-Match", "ETag", "Accept"},
		ExposedHeaders:       []string{"Location", "ETag", "Link", "Retry-After", "Accept-Patch", "Accept-Post"},
		OptionsSuccessStatus: http.StatusOK,
		MaxAge:               600,
	})
}

// originAllowed matches an Origin's host against the configured domains; localhost on any port always passes.
func (a *api) originAllowed(origin string) bool {
	_, host, ok := strings.Cut(origin, "://")
	if !ok {
		return false
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	for _, d := range append([]string{"localhost"}, a.Origins...) {
		if d == "*" || host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}
