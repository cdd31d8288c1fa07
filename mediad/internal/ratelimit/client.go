package ratelimit

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// perClientV6 is how much of an IPv6 address names a client: everybody has a /64 to choose addresses from (RFC 7084).
const perClientV6 = 64

// Client tells who is behind a request: the address that it came from or, when that is a trusted proxy, the last address in
// X-Forwarded-For that is not one. What stands further left may be invented. IPv6 addresses are cut to their /64. It is the zero
// Addr when the request's own address cannot be read.
func Client(r *http.Request, trusted []netip.Prefix) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := from.Addr()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && isTrusted(client, trusted); i-- {
		addr, ok := hop(strings.TrimSpace(hops[i]))
		if !ok {
			break // the proxy knew no better
		}
		client = addr
	}
	return group(client)
}

// hop reads an entry of X-Forwarded-For: an address, with a port from some proxies.
func hop(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr, true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr(), err == nil
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// group maps an address to the one that stands for the client.
func group(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr
	}
	p, err := addr.Prefix(perClientV6)
	if err != nil {
		return addr // not valid
	}
	return p.Addr()
}
