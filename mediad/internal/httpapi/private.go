package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weever/mediad/internal/drain"
	"weever/shared/apierr"
	"weever/shared/auth"
)

// probeTimeout bounds what a readiness probe may wait for the backends, all at once. Consul gives the whole check a second: an
// answer that comes later makes the node critical, and a hanging Redis would do that to every node.
const probeTimeout = 300 * time.Millisecond

// PrivateConfig is what the private handler works with.
type PrivateConfig struct {
	Counts     func() (publishers, viewers int)
	Control    http.Handler // the control API; it guards itself with the admin token
	AdminToken string       // empty: no token is asked for
	Drain      *drain.Drain // of /preStop
	// Ready is nil once the node can take sessions, else says what it waits for.
	Ready func() error
	// Backends tells the health of each shared backend by name; an error degrades the node but does not make it unready.
	Backends map[string]func(context.Context) error
	Log      *slog.Logger
}

// NewPrivate makes the handler of the private port: probes, metrics, the drain and the control API.
func NewPrivate(cfg PrivateConfig) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /liveness", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readiness", cfg.readiness)
	mux.Handle("GET /metrics", cfg.guard(cfg.metrics()))
	mux.Handle("/preStop", cfg.guard(http.HandlerFunc(cfg.preStop)))
	mux.Handle("/", cfg.Control)
	return mux
}

// probed is what one backend's probe said.
type probed struct {
	name string
	err  error
}

// readiness answers 200 when the node can take sessions. Backends that are away are named in the body and leave it 200:
// otherwise one outage of Redis would empty the balancer.
func (cfg *PrivateConfig) readiness(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	state := "ok"
	parts := map[string]string{}
	results := make(chan probed, len(cfg.Backends))
	for name, probe := range cfg.Backends {
		parts[name] = "down" // until it says otherwise; a probe that outlasts its context is not waited for
		go func() { results <- probed{name, probe(ctx)} }()
	}
	for range cfg.Backends {
		select {
		case res := <-results:
			if res.err == nil {
				parts[res.name] = "up"
			}
		case <-ctx.Done():
		}
	}
	for _, part := range parts {
		if part == "down" {
			state = "degraded"
		}
	}
	status := http.StatusOK
	if err := cfg.Ready(); err != nil {
		status, state = http.StatusServiceUnavailable, err.Error()
	}
	writeJSON(w, status, map[string]any{"status": state, "backends": parts})
}

// metrics serves the Go and process collectors, the number of sessions and how far a drain is.
func (cfg *PrivateConfig) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, g := range []struct {
		name, help string
		read       func() int
	}{
		{"publishers", "Running sessions of this kind on this node.", func() int { n, _ := cfg.Counts(); return n }},
		{"viewers", "Running sessions of this kind on this node.", func() int { _, n := cfg.Counts(); return n }},
		{"draining", "1 while the node is drained or has been, else 0.", func() int {
			if cfg.Drain.On() {
				return 1
			}
			return 0
		}},
		{"drain_sessions_left", "Sessions that a drain waits for, or has given up waiting for.", cfg.Drain.Left},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "weever", Name: g.name, Help: g.help},
			func() float64 { return float64(g.read()) }))
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}

// guard asks for the admin token, if there is one.
func (cfg *PrivateConfig) guard(next http.Handler) http.Handler {
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
