package tidypath

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// Whatever passes is answered by a mux without a redirect.
func TestNothingThatPassesIsRedirected(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	for _, pattern := range []string{"/pub/{room}/{id}", "/list/", "/"} {
		mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
	}
	guard := Guard(mux)
	for path, want := range map[string]int{
		"/": 200, "/pub/tea/alice": 200, "/pub/tea/alice/": 200, "/list/": 200, "/pub/a%2Fb/c": 200, "/pub/tea/%2e%2e": 200,
		"": 404, "//": 404, "//pub/tea/alice": 404, "/pub//alice": 404, "/pub/./alice": 404, "/pub/tea/../alice": 404, "/pub/tea/alice//": 404, "/..": 404,
	} {
		u, err := url.ParseRequestURI("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		guard.ServeHTTP(w, &http.Request{Method: http.MethodPost, URL: u, Header: http.Header{}})
		if w.Code != want {
			t.Errorf("%q: %d, want %d", path, w.Code, want)
		}
	}
}
