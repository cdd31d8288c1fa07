package privateapi

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"weever/mediad/internal/drain"
	"weever/mediad/internal/health"
)

func serve(t *testing.T, token string, report *health.Report) func(method, path, bearer string) *httptest.ResponseRecorder {
	t.Helper()
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	}
	h := New(Config{
		Control: named("control"), Metrics: named("metrics"), AdminToken: token, Drain: drain.New(drain.Config{Log: slog.New(slog.DiscardHandler)}),
		Readiness: func() health.Report { return *report },
	})
	return func(method, path, bearer string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

// Balancers look at the status code, people at the body.
func TestReadiness(t *testing.T) {
	t.Parallel()
	report := &health.Report{}
	ask := serve(t, "secret", report)
	for status, want := range map[health.Status]int{
		health.OK: 200, health.Degraded: 200, health.Starting: 503, health.Full: 503, health.Draining: 503,
	} {
		report.Status = status
		w := ask(http.MethodGet, "/readiness", "")
		var body struct{ Status health.Status }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if w.Code != want || body.Status != status || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %+v", status, w.Code, body)
		}
		if live := ask(http.MethodGet, "/liveness", ""); live.Code != 200 {
			t.Errorf("%s: liveness %d", status, live.Code)
		}
	}
}

// Probes need no token, the rest does, and no path is answered with a redirect that would take it elsewhere.
func TestTokenAndPaths(t *testing.T) {
	t.Parallel()
	ask := serve(t, "secret", &health.Report{Status: health.OK})
	for _, c := range []struct {
		method, path, bearer string
		want                 int
	}{
		{"GET", "/liveness", "", 200},
		{"GET", "/readiness", "wrong", 200},
		{"HEAD", "/readiness", "", 200},
		{"GET", "/metrics", "", 401},
		{"GET", "/metrics", "wrong", 401},
		{"GET", "/metrics", "secret", 200},
		{"GET", "/debug/pprof/", "", 401},
		{"GET", "/debug/pprof/heap", "wrong", 401},
		{"GET", "/debug/pprof/", "secret", 200},
		{"GET", "/debug/pprof/heap?gc=1", "secret", 200},
		{"GET", "/debug/pprof/profile?seconds=1", "secret", 200},
		{"POST", "/debug/pprof/heap", "secret", 405},
		{"GET", "/debug/pprof/cmdline", "secret", 404}, // secrets may be in it
		{"GET", "/debug/pprof/heap/", "secret", 404},
		{"POST", "/preStop?cancel=1", "", 401},
		{"POST", "/preStop?cancel=1", "secret", 200},
		{"PUT", "/preStop", "secret", 405},
		{"POST", "/create/pub", "", 200}, // the control API asks by itself
		{"POST", "//create/pub", "secret", 404},
		{"GET", "/list/../metrics", "secret", 404},
	} {
		if w := ask(c.method, c.path, c.bearer); w.Code != c.want {
			t.Errorf("%s %s with %q: %d, want %d", c.method, c.path, c.bearer, w.Code, c.want)
		}
	}
}

// Where there is no token, a page of the web could keep the node busy with profiles.
func TestProfilesAreNotForPages(t *testing.T) {
	t.Parallel()
	h := New(Config{Control: http.NotFoundHandler(), Metrics: http.NotFoundHandler(), Readiness: func() health.Report { return health.Report{} }})
	for site, want := range map[string]int{"": 200, "none": 200, "same-origin": 200, "same-site": 403, "cross-site": 403} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/heap", nil)
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", site, w.Code, want)
		}
	}
}
