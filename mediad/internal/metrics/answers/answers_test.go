package answers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestCounted: each answer once, by method and status, also that of a handler which writes nothing, streams or panics.
func TestCounted(t *testing.T) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "answers_total", Help: "h"}, []string{"method", "code"})
	h := Counted(vec, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/made":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusTeapot) // too late
		case "/body":
			_, _ = w.Write([]byte("x"))
		case "/stream":
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("cannot stream: %v", err)
			}
		case "/odd":
			w.WriteHeader(799)
		case "/panic":
			w.WriteHeader(http.StatusBadGateway)
			panic(http.ErrAbortHandler)
		case "/crash":
			panic(http.ErrAbortHandler)
		}
	}))
	srv := httptest.NewServer(h)
	defer srv.Close()
	for _, target := range []string{"POST /made", "POST /made", "GET /body", "GET /stream", "DELETE /odd", "PATCH /panic", "PUT /crash", "BREW /none"} {
		verb, path, _ := strings.Cut(target, " ")
		req, err := http.NewRequestWithContext(t.Context(), verb, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}
	srv.Close() // waits for those whose answer was here before they were counted
	want := `# HELP answers_total h
# TYPE answers_total counter
answers_total{code="200",method="GET"} 2
answers_total{code="200",method="other"} 1
answers_total{code="201",method="POST"} 2
answers_total{code="500",method="PUT"} 1
answers_total{code="502",method="PATCH"} 1
answers_total{code="7xx",method="DELETE"} 1
`
	if err := testutil.CollectAndCompare(vec, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
