package hosts

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnly(t *testing.T) {
	t.Parallel()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for host, want := range map[string]int{
		"": 200, "localhost": 200, "LOCALHOST.:9443": 200, "app.localhost": 200, "127.0.0.1:1": 200, "[::1]:9443": 200, "::1": 200,
		"sfu.example": 200, "a.sfu.example:443": 200, "evil.example": 403, "xsfu.example": 403, "localhost.evil.example": 403,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		Only([]string{"sfu.example"}, "say so", ok).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
		w = httptest.NewRecorder()
		if Only(nil, "", ok).ServeHTTP(w, r); w.Code != 200 {
			t.Errorf("no names, %q: %d", host, w.Code)
		}
	}
}
