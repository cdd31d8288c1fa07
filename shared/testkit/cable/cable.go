// Package cable is a TCP path to a server that a test can cut: a fault of the network between one client and a server that lives on.
package cable

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Cable is such a path. Its methods are called by the test's goroutine only.
type Cable struct {
	Addr string // "127.0.0.1:<port>": where clients connect, cut or not

	t      testing.TB
	target string
	l      net.Listener // nil while cut
	pipes  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn // both ends of all pipes; nil while cut
	open  bool
}

// New forwards connections to target, a "host:port", until the test ends.
func New(t testing.TB, target string) *Cable {
	t.Helper()
	p := &Cable{Addr: "127.0.0.1:0", t: t, target: target}
	p.Heal()
	t.Cleanup(p.Cut)
	return p
}

// Cut breaks all connections and refuses new ones.
func (p *Cable) Cut() {
	if p.l == nil {
		return
	}
	_ = p.l.Close()
	p.mu.Lock()
	p.open = false
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.pipes.Wait()
	p.l = nil
}

// Heal lets connections through again, at the same address.
func (p *Cable) Heal() {
	p.t.Helper()
	if p.l != nil {
		return
	}
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		p.t.Fatalf("cable: %v", err)
	}
	p.Addr, p.l = l.Addr().String(), l
	p.mu.Lock()
	p.open = true
	p.mu.Unlock()
	p.pipes.Go(func() { p.accept(l) })
}

// accept ends when the listener is closed.
func (p *Cable) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		p.pipes.Go(func() { pipe(client, server) })
		p.pipes.Go(func() { pipe(server, client) })
	}
}

// keep remembers the connections for Cut, or closes them when that has been called.
func (p *Cable) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	p.conns = append(p.conns, conns...)
	return true
}

// pipe copies until one side is closed, then closes the other.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}
