// Package hosts judges the names that a server is called by and that pages of the web come from.
//
// httpapi and main use it, for the public and for the private port. It holds nothing.
package hosts

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"weever/shared/apierr"
)

// Only refuses requests by a Host that is none of the names, none of their sub-domains, no address and not localhost. It is for
// handlers that trust whoever reaches them: a page on the web may have its own name point here, and would then count as ours
// (DNS rebinding). nil names let every Host pass. How to be called by another name is said in advice.
func Only(names []string, advice string, next http.Handler) http.Handler {
	if names == nil {
		return next
	}
	names = append([]string{"localhost"}, names...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := Of(r.Host) // none: HAProxy's health checks, in HTTP/1.0; a browser always sends one
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); host != "" && err != nil && !Within(host, names) {
			apierr.Write(w, r, apierr.New(apierr.Forbidden, "the server does not go by that name; call it localhost or by its address, or %s", advice))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Of takes the port off a host, and the dot that ends a full name.
func Of(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// Within reports whether host is one of the domains or below it; "*" has every host below it.
func Within(host string, domains []string) bool {
	for _, d := range domains {
		if d == "*" || host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}
