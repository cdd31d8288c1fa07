// Package udpio opens the node's one UDP port for media and says which packet is whose: a socket per local address behind one ICE mux.
//
//	pion (ICE, DTLS, SRTP) ← handle ← queue ←─┐
//	fanout/secure          ← Path.Intercept ←─┴─ inlet ← kernel.Socket
//	fanout/secure → Batch, Path.Write → kernel.Socket
//
// The node opens it once at start and closes it last; package peer hands its Mux, or a Path of it, to every PeerConnection. One socket per
// address, never a wildcard: a wildcard socket answers from the route's address instead of the one that was asked.
package udpio

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pion/ice/v4"

	"weever/mediad/internal/udpio/kernel"
	"weever/mediad/internal/udpio/mailbox"
	"weever/mediad/internal/udpio/routes"
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
	inlets []*inlet // fixed
	pool   mailbox.Pool
	drops  [numDrops]atomic.Uint64
	ended  sync.WaitGroup // the inlets' goroutines
	close  func() error   // once

	mu       sync.RWMutex
	sessions map[string]*session // by user fragment
	closed   bool
}

var _ ice.UDPMux = (*Mux)(nil)

// Listen opens the sockets and reads them until Close. It fails when no interface matches, or when one of the addresses is taken; then
// nothing is left open.
func Listen(cfg Config) (*Mux, error) {
	ips, err := localAddresses(cfg.Interfaces)
	if err != nil {
		return nil, err
	}
	m := &Mux{sessions: map[string]*session{}}
	m.close = sync.OnceValue(m.end)
	port := uint16(cfg.Port) //nolint:gosec // a port fits
	for i, ip := range ips {
		s, err := kernel.Listen(netip.AddrPortFrom(ip, port))
		if err != nil {
			for _, in := range m.inlets {
				_ = in.socket.Close()
			}
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, fmt.Errorf("UDP port %d on %s is taken: choose another with --udp-port, or stop who holds it", port, ip)
			}
			return nil, fmt.Errorf("cannot listen on UDP %s port %d: %w", ip, port, err)
		}
		port = s.Local().Port()
		m.inlets = append(m.inlets, &inlet{mux: m, socket: s, index: i, addr: net.UDPAddrFromAddrPort(s.Local()), routes: routes.New[*conn]()})
	}
	m.buffers(cfg.Log)
	for _, in := range m.inlets {
		m.ended.Go(func() { _ = in.socket.Receive(in.receive) }) // returns when it is closed
	}
	return m, nil
}

// buffers asks for room in the kernel.
func (m *Mux) buffers(log *slog.Logger) {
	var receive, send int
	for _, in := range m.inlets {
		receive, send = in.socket.SetBuffers(socketBuffer) // the same for all
	}
	tell(log, receive, send)
}

// tell says what was granted, and what to do when it is little.
func tell(log *slog.Logger, receive, send int) {
	switch {
	case receive == 0 || send == 0: // not known
	case receive < socketBuffer/2 || send < socketBuffer/2:
		log.Warn("the kernel grants little room for UDP packets, so that bursts may be lost: set net.core.rmem_max and net.core.wmem_max to what is wanted, "+
			"or give the process CAP_NET_ADMIN", "receive", receive, "send", send, "wanted", socketBuffer)
	default:
		log.Info("the kernel's room for UDP packets", "receive", receive, "send", send)
	}
}

// Poll has the port read now, not when the scheduler looks for it next, which may take 10 ms on a busy machine.
func (m *Mux) Poll() {
	for _, in := range m.inlets {
		in.socket.Poll()
	}
}

// Close closes the port and everybody's connections, and waits for who reads them to notice.
func (m *Mux) Close() error { return m.close() }

func (m *Mux) end() error {
	var errs []error
	for _, in := range m.inlets {
		errs = append(errs, in.socket.Close())
	}
	m.ended.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, s := range m.sessions {
		for _, c := range s.conns {
			if c != nil {
				c.box.Shut()
			}
		}
	}
	return errors.Join(errs...)
}

// GetListenAddresses returns the sockets' addresses, for pion to make candidates of.
func (m *Mux) GetListenAddresses() []net.Addr {
	var out []net.Addr
	for _, in := range m.inlets {
		out = append(out, in.addr)
	}
	return out
}

// Addrs are the addresses listened on, in the order of the interfaces.
func (m *Mux) Addrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, in := range m.inlets {
		out = append(out, in.socket.Local())
	}
	return out
}

// Port is the one port.
func (m *Mux) Port() int { return m.inlets[0].addr.Port }

// inletAt returns the inlet with this address.
func (m *Mux) inletAt(addr net.Addr) (*inlet, error) {
	if a, ok := addr.(*net.UDPAddr); ok {
		want := unmap(a.AddrPort())
		for _, in := range m.inlets {
			if in.socket.Local() == want {
				return in, nil
			}
		}
	}
	return nil, fmt.Errorf("udpio: %s is not an address of this node's port", addr)
}
