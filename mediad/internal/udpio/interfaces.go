package udpio

import (
	"fmt"
	"net"
	"net/netip"
	"path"
)

// localAddresses lists the addresses of the interfaces that are up and match. Link-local ones are left out: a peer elsewhere
// cannot use them, and on a cloud VM 169.254.0.0/16 is the metadata service's.
func localAddresses(patterns []string) ([]netip.Addr, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot list network interfaces: %w", err)
	}
	var out []netip.Addr
	for _, ifc := range ifaces {
		if ifc.Flags&net.FlagUp == 0 || !wanted(ifc, patterns) {
			continue
		}
		addrs, err := ifc.Addrs()
		if err != nil {
			return nil, fmt.Errorf("cannot list addresses of %s: %w", ifc.Name, err)
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || p.Addr().IsLinkLocalUnicast() {
				continue
			}
			out = append(out, p.Addr().Unmap())
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no network interface matches %q: name one with --interfaces", patterns)
	}
	return out, nil
}

func wanted(ifc net.Interface, patterns []string) bool {
	if len(patterns) == 0 {
		return ifc.Flags&net.FlagLoopback == 0
	}
	for _, p := range patterns {
		if ok, _ := path.Match(p, ifc.Name); ok {
			return true
		}
	}
	return false
}
