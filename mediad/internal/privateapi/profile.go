package privateapi

import (
	"net/http"
	"net/http/pprof"

	"weever/shared/apierr"
)

// This file serves profiles of the running node, for `go tool pprof` and `make profile`.

// profiles is /debug/pprof/ as net/http/pprof has it, but for the command line: secrets may be in it. A CPU profile or a trace takes
// its ?seconds= and answers then; ?gc=1 before a heap profile collects garbage first.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/{$}", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		mux.Handle("GET /debug/pprof/"+name, pprof.Handler(name))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case site != "" && site != "none" && site != "same-origin": // a page of the web that found a port without a token
			apierr.Write(w, r, apierr.New(apierr.Forbidden, "this is not for pages of other origins"))
		case pattern != "":
			h.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", http.MethodGet)
			apierr.Write(w, r, apierr.New(apierr.BadMethod, "use GET"))
		default:
			apierr.Write(w, r, apierr.New(apierr.NotFound, "there is no such profile; GET /debug/pprof/ lists them"))
		}
	})
}
