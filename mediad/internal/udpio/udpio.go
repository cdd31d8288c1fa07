// Package udpio opens the node's one UDP port for media: a socket per local address behind one ICE mux.
//
// The node opens it once at start and closes it last; package peer hands its Mux to every PeerConnection. One socket per
// address, never a wildcard: a wildcard socket answers from the route's address instead of the one that was asked.
package udpio

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pion/ice/v4"

	"weever/mediad/internal/pionlog"
)

// socketBuffer is asked of the kernel for each direction: about 100 ms of a full gigabit. The kernel may grant less.
const socketBuffer = 8 << 20

// Config says where to listen.
type Config struct {
	Port       int      // 0: any free port, the same on all addresses
	Interfaces []string // path.Match patterns of interface names; empty: all but loopback
	Log        *slog.Logger
}

// Mux is the opened port. It implements ice.UDPMux. Its methods may be called by any goroutine.
type Mux struct {
	*ice.MultiUDPMuxDefault
	addrs   []netip.AddrPort
	sockets []*socket // fixed after Listen
	drops   [numDrops]atomic.Uint64

	mu       sync.Mutex
	sessions map[string]*sources // by user fragment, as long as they have connections
}

// Listen opens the sockets. It fails when no interface matches, or when one of the addresses is taken; then nothing is left open.
func Listen(cfg Config) (*Mux, error) {
	ips, err := localAddresses(cfg.Interfaces)
	if err != nil {
		return nil, err
	}
	m := &Mux{sessions: map[string]*sources{}}
	port := cfg.Port
	var muxes []ice.UDPMux
	for _, ip := range ips {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port)))) //nolint:gosec // a port fits
		if err != nil {
			for _, u := range muxes {
				_ = u.Close()
			}
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, fmt.Errorf("UDP port %d on %s is taken: choose another with --udp-port, or stop who holds it", port, ip)
			}
			return nil, fmt.Errorf("cannot listen on UDP %s port %d: %w", ip, port, err)
		}
		_, _ = conn.SetReadBuffer(socketBuffer), conn.SetWriteBuffer(socketBuffer)
		local := conn.LocalAddr().(*net.UDPAddr).AddrPort() //nolint:forcetypeassert // a UDPConn's address is one
		port = int(local.Port())
		m.addrs = append(m.addrs, local)
		counted := &socket{UDPConn: conn}
		m.sockets = append(m.sockets, counted)
		muxes = append(muxes, ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: counted, Logger: pionlog.New(cfg.Log).NewLogger("udp")}))
	}
	m.MultiUDPMuxDefault = ice.NewMultiUDPMuxDefault(muxes...)
	return m, nil
}

// GetConn gives a session, named by its ICE user fragment, its connection on the socket with this address. The caller must close it.
func (m *Mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	conn, err := m.MultiUDPMuxDefault.GetConn(ufrag, addr)
	if err != nil {
		return nil, err //nolint:wrapcheck // pion's own, for pion
	}
	direct, ok := conn.(ice.AddrPortReaderWriter)
	if !ok {
		_ = conn.Close()
		return nil, errors.New("udpio: the mux gave a connection that cannot read without allocating")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[ufrag]
	if s == nil {
		s = &sources{}
		m.sessions[ufrag] = s
	}
	s.users++
	return &guard{PacketConn: conn, conn: direct, sources: s, drops: &m.drops, release: sync.OnceFunc(func() { m.release(ufrag, s) })}, nil
}

// release forgets a session's sources when nobody uses them any more.
func (m *Mux) release(ufrag string, s *sources) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(m.sessions, ufrag)
	}
}

// Drops is how many packets were dropped for a reason since the port was opened.
func (m *Mux) Drops(d Drop) uint64 { return m.drops[d].Load() }

// Addrs are the addresses listened on, in the order of the interfaces.
func (m *Mux) Addrs() []netip.AddrPort { return m.addrs }

// Port is the one port.
func (m *Mux) Port() int { return int(m.addrs[0].Port()) }

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
