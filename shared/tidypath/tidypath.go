// Package tidypath refuses paths that net/http would answer with a redirect to a cleaner one.
//
// Every handler with a mux of ours stands behind Guard: a client that follows such a redirect asks for something else, and some send
// their token along. It holds nothing.
package tidypath

import (
	"net/http"
	"path"

	"weever/shared/apierr"
)

// Guard passes on to next what has a tidy path, and answers 404 to the rest: an empty, "." or ".." part, also where it is escaped.
func Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		if tidy := path.Clean("/" + p); p != tidy && p != tidy+"/" || p == "//" {
			apierr.Write(w, r, apierr.New(apierr.NotFound, "there is no such path: it has an empty, \".\" or \"..\" part"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
