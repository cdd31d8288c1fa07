// Package httpapi is the node's public HTTP face: WHIP, WHEP and Weever's own subscriptions. It is the only place of the node
// that knows HTTP.
//
// main mounts New's handler; every request is checked here, in the order of the design's refusals, and handed to package session.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"weever/mediad/internal/hosts"
	"weever/mediad/internal/iceservers"
	"weever/mediad/internal/ratelimit"
	"weever/mediad/internal/session"
	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
	"weever/shared/tidypath"
)

// Config is what the handler works with.
type Config struct {
	Sessions *session.Service
	Nodes    Caller       // passes requests for sessions of other nodes on; nil: they are unknown
	Self     string       // where clients reach this very node: "https://host:port"
	Tokens   Tokens       // nil: nobody needs one
	Strict   bool         // RFC 9725 to the letter where the lenient default helps real clients
	Origins  []string     // allowed by CORS, as hosts; each with its sub-domains. "*" allows all
	Site     http.Handler // served at /; nil: nothing is
	Control  http.Handler // the control API, on the public port for development alone; nil: not there
	Log      *slog.Logger

	ICE     *iceservers.List   // told to clients; nil: none
	Limits  *ratelimit.Limiter // of what changes something; nil: none
	Proxies []netip.Prefix     // whose X-Forwarded-For is believed
	// Hosts are the names that the node may be called by beside localhost and addresses; each with its sub-domains. nil: any.
	Hosts []string
}

// Tokens judges bearer tokens. The error is nil when the token opens that role for that person in that room, and fit for the
// client otherwise. The store's tokens and JWTs are.
type Tokens interface {
	CheckToken(ctx context.Context, rm room.Name, role room.Role, id room.ID, token string) (auth.Grant, error)
}

type api struct{ Config }

// New makes the public handler.
func New(cfg Config) http.Handler {
	a := &api{cfg}
	return secure(hosts.Only(a.Hosts, "start it with that --cors-domain", a.cors().Handler(a.limit(tidypath.Guard(a.mux())))))
}

func (a *api) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, role := range []room.Role{room.Pub, room.Sub} {
		endpoint := "/" + string(role) + "/{room}/{id}"
		mux.Handle(endpoint, a.serve(role, a.endpoint))
		mux.Handle(endpoint+"/{session}", a.serve(role, a.session))
	}
	a.extensions(mux)
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
		req := &request{Request: r, role: role, token: auth.Bearer(r), client: ratelimit.Client(r, a.Proxies)}
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
