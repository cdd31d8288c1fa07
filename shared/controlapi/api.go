// Package controlapi is the control plane's HTTP: it creates tokens, lists who is there, and kicks.
//
// One handler has two homes: the Lambdas of functions/ serve a part of it each, mediad serves all of it on its private port.
// It holds no state: everything is in shared/tokens and shared/store. It ends with its server.
package controlapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
	"weever/shared/store"
	"weever/shared/tidypath"
	"weever/shared/tokens"
)

// answerWithin bounds the work for one request: a client learns that Redis is away before its own patience ends.
const answerWithin = 5 * time.Second

// Routes says which parts of the API a handler serves; add them up.
type Routes uint

// The parts. A path of a part that is not served is unknown: 404.
const (
	Create Routes = 1 << iota // POST /create/{role}
	List                      // GET /list/{role}/{room}, GET /rooms
	Kick                      // DELETE /{role}/{room}/{id}
)

// Config is what a handler needs.
type Config struct {
	Tokens     *tokens.Tokens // required for Create and Kick
	Store      *store.Store   // required for List
	Log        *slog.Logger   // nil: silence
	AdminToken string         // when set, every request must carry it as bearer
	Routes     Routes         // 0: all
}

// New makes the handler. It answers every request itself, unknown paths too, with text or JSON as the Accept header asks
// and errors as apierr.Write does. It calls nothing but Tokens and Store.
func New(cfg Config) http.Handler {
	a := &api{tokens: cfg.Tokens, store: cfg.Store, log: cfg.Log, admin: cfg.AdminToken}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Routes == 0 {
		cfg.Routes = Create | List | Kick
	}
	mux := http.NewServeMux()
	for _, role := range []room.Role{room.Pub, room.Sub} {
		if cfg.Routes&Create != 0 {
			mux.Handle("/create/"+string(role), a.only(http.MethodPost, a.create(role)))
		}
		if cfg.Routes&List != 0 {
			mux.Handle("/list/"+string(role)+"/{room}", a.only(http.MethodGet, a.list(role)))
		}
		if cfg.Routes&Kick != 0 {
			mux.Handle("/"+string(role)+"/{room}/{id}", a.only(http.MethodDelete, a.kick(role)))
		}
	}
	if cfg.Routes&List != 0 {
		mux.Handle("/rooms", a.only(http.MethodGet, a.rooms))
	}
	mux.Handle("/", a.handle(func(http.ResponseWriter, *http.Request) error {
		return apierr.New(apierr.NotFound, "no such path in the control API")
	}))
	return a.guard(tidypath.Guard(mux))
}

// api is the handler's fixed parts.
type api struct {
	tokens *tokens.Tokens
	store  *store.Store
	log    *slog.Logger
	admin  string
}

// handler serves a request or returns the error to answer with.
type handler func(w http.ResponseWriter, r *http.Request) error

// guard asks for the admin token.
func (a *api) guard(next http.Handler) http.Handler {
	missing := a.handle(func(http.ResponseWriter, *http.Request) error {
		return apierr.New(apierr.BadToken, "the control API needs the admin token as Authorization: Bearer <token>")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if a.admin != "" && !auth.Equal(auth.Bearer(r), a.admin) {
			missing.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// only refuses other methods. A mux pattern with the method in it would, too, but not as a problem document.
func (a *api) only(method string, h handler) http.Handler {
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	return a.handle(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
			w.Header().Set("Allow", allow)
			return apierr.New(apierr.BadMethod, "this path knows %s only", allow)
		}
		return h(w, r)
	})
}

// handle bounds the time of h, sends the error it returns and logs what the client is not told.
func (a *api) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		err := h(w, r.WithContext(ctx))
		if err == nil {
			return
		}
		e := apierr.Write(w, r, err)
		switch e.Code {
		case apierr.Internal:
			a.log.Error("request failed", "method", r.Method, "err", e)
		case apierr.Unavailable:
			a.log.Warn("request refused", "method", r.Method, "err", e)
		default: // the client's own fault
			a.log.Debug("request refused", "method", r.Method, "err", e)
		}
	})
}

// roomOf takes the room's name from the path.
func roomOf(r *http.Request) (room.Name, error) {
	rm, err := room.ParseName(r.PathValue("room"))
	if err != nil {
		return room.Name{}, badName(err)
	}
	return rm, nil
}

// badName is the refusal of a name; the text of such an error names the rule and is meant for the client.
func badName(err error) error { return apierr.New(apierr.BadName, "%v", err) }

// sendText answers with plain text.
func sendText(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the client may be gone; nobody is left to tell
	return nil
}

// sendJSON answers with v.
func sendJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}
