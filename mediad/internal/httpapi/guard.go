package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/rs/cors"

	"weever/mediad/internal/hosts"
	"weever/mediad/internal/ratelimit"
	"weever/shared/apierr"
)

// This file is what every request passes before it is looked at.

// allMethods is what pages of other origins may use.
const allMethods = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"

// secure sets the headers that keep a browser from making more of a reply than it is.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		if r.Method == http.MethodOptions {
			h.Set("Accept-Post", sdpType)                     // RFC 9725 section 4.2: on every OPTIONS, preflights too
			h.Set("Access-Control-Allow-Methods", allMethods) // Eyevinn's client trickles where it reads PATCH in it
		}
		next.ServeHTTP(w, r)
	})
}

// limit refuses what changes something, asks about a token or may be passed on to another node, when it comes too fast (RFC 9725
// section 5). Preflights do not come this far.
func (a *api) limit(next http.Handler) http.Handler {
	if a.Limits == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if costly(r) {
			if wait := a.Limits.Allow(ratelimit.Client(r, a.Proxies), time.Now()); wait > 0 {
				apierr.Write(w, r, apierr.New(apierr.TooMany, "too many requests; wait as long as Retry-After says").After(wait))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func costly(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPatch, http.MethodDelete:
		return true
	}
	const endpointParts = 3 // of /pub/{room}/{id}
	return len(r.Header["Authorization"]) > 0 || strings.Count(r.URL.Path, "/") > endpointParts
}

// cors lets pages of the configured domains use the API (RFC 9725 section 4.2 and what real clients send).
func (a *api) cors() *cors.Cors {
	return cors.New(cors.Options{
		AllowOriginFunc:      a.originAllowed,
		AllowedMethods:       strings.Split(allMethods, ", "),
		AllowedHeaders:       []string{"Authorization", "Content-Type", "If-Match", "ETag", "Accept", "Last-Event-ID", "Cache-Control"},
		ExposedHeaders:       []string{"Location", "ETag", "Link", "Retry-After", "Accept-Patch", "Accept-Post", "Access-Control-Allow-Methods"},
		OptionsSuccessStatus: http.StatusOK,
		MaxAge:               600,
	})
}

// originAllowed matches an Origin's host against the configured domains; localhost on any port always passes.
func (a *api) originAllowed(origin string) bool {
	_, host, ok := strings.Cut(origin, "://")
	return ok && hosts.Within(hosts.Of(host), append([]string{"localhost"}, a.Origins...))
}
