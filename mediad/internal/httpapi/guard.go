package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/rs/cors"

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

// clean refuses paths that net/http would answer with a redirect to a cleaner one: a client that follows it asks for something else.
func clean(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		if tidy := path.Clean("/" + p); p != tidy && p != tidy+"/" || p == "//" {
			apierr.Write(w, r, apierr.New(apierr.NotFound, "there is no such path: it has an empty, \".\" or \"..\" part"))
			return
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

// OnlyHosts refuses requests by a Host that is none of the names, none of their sub-domains, no address and not localhost. It is for
// handlers that trust whoever reaches them: a page on the web may have its own name point here, and would then count as ours
// (DNS rebinding). nil names let every Host pass. How to be called by another name is said in advice.
func OnlyHosts(names []string, advice string, next http.Handler) http.Handler {
	if names == nil {
		return next
	}
	names = append([]string{"localhost"}, names...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOf(r.Host) // none: HAProxy's health checks, in HTTP/1.0; a browser always sends one
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); host != "" && err != nil && !within(host, names) {
			apierr.Write(w, r, apierr.New(apierr.Forbidden, "the server does not go by that name; call it localhost or by its address, or %s", advice))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf takes the port off a host, and the dot that ends a full name.
func hostOf(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// within reports whether host is one of the domains or below it; "*" has every host below it.
func within(host string, domains []string) bool {
	for _, d := range domains {
		if d == "*" || host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
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
	return ok && within(hostOf(host), append([]string{"localhost"}, a.Origins...))
}
