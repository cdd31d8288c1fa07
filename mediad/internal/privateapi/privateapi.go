// Package privateapi is the node's private HTTP face: probes, metrics, profiles, the drain hook and the control API.
//
// main mounts New's handler on the private port; it holds no state and ends with its server. What it tells and does is other packages'
// affair, which it is given as functions and handlers.
package privateapi

import (
	"encoding/json"
	"net/http"

	"weever/mediad/internal/drain"
	"weever/mediad/internal/health"
	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/tidypath"
)

// Config is what the handler works with; all but the token is required.
type Config struct {
	Control    http.Handler         // the control API; it guards itself with the admin token
	Metrics    http.Handler         // of /metrics
	AdminToken string               // empty: no token is asked for
	Drain      *drain.Drain         // of /preStop
	Readiness  func() health.Report // must not wait: balancers count a late answer as none
}

// New makes the handler.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /liveness", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readiness", cfg.readiness)
	mux.Handle("GET /metrics", cfg.guard(cfg.Metrics))
	mux.Handle("/debug/pprof/", cfg.guard(profiles()))
	mux.Handle("/preStop", cfg.guard(http.HandlerFunc(cfg.preStop)))
	mux.Handle("/", cfg.Control)
	return tidypath.Guard(mux)
}

// readiness answers 200 when the node takes sessions, 503 when balancers should leave it out.
func (cfg *Config) readiness(w http.ResponseWriter, _ *http.Request) {
	r := cfg.Readiness()
	status := http.StatusOK
	if !r.Ready() {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, r)
}

// guard asks for the admin token, if there is one.
func (cfg *Config) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cfg.AdminToken != "" && !auth.Equal(auth.Hash(auth.Bearer(r)), auth.Hash(cfg.AdminToken)) {
			apierr.Write(w, r, apierr.New(apierr.BadToken, "send the node's admin token as Authorization: Bearer <token>"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
