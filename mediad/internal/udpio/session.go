package udpio

import (
	"net"
	"slices"
	"sync/atomic"

	"weever/mediad/internal/udpio/mailbox"
	"weever/mediad/internal/udpio/sources"
)

// This file keeps the sessions, by their ICE user fragments. The Mux's lock guards it.

// session is what belongs to one user fragment: a connection until its ICE is restarted.
type session struct {
	secured atomic.Bool // pion has sent something encrypted: the handshake is over
	ufrag   string
	conns   []*conn // by inlet; nil: none
	sources sources.List
}

// GetConn gives a session, named by its ICE user fragment, its connection on the socket with this address. The caller must close it.
// Several calls give the same connection, of which each caller has a handle to close.
func (m *Mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	return m.open(ufrag, addr, nil)
}

func (m *Mux) open(ufrag string, addr net.Addr, path *Path) (net.PacketConn, error) {
	in, err := m.inletAt(addr)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	s := m.sessions[ufrag]
	if s == nil {
		s = &session{ufrag: ufrag, conns: make([]*conn, len(m.inlets))}
		m.sessions[ufrag] = s
	}
	c := s.conns[in.index]
	if c == nil {
		c = &conn{mux: m, inlet: in, session: s, path: path, box: mailbox.New(&m.pool)}
		s.conns[in.index] = c
		in.routes.Join(c)
	}
	c.handles++
	return &handle{conn: c}, nil
}

// find returns a session's connection on an inlet, or nil.
func (m *Mux) find(ufrag []byte, inlet int) *conn {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if s := m.sessions[string(ufrag)]; s != nil {
		return s.conns[inlet]
	}
	return nil
}

// RemoveConnByUfrag gives a session no more packets. Its connections are still to be closed by those who have them.
func (m *Mux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[ufrag]; s != nil {
		for _, c := range s.conns {
			if c != nil {
				m.remove(c)
			}
		}
	}
}

// release takes back a handle.
func (m *Mux) release(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.handles--; c.handles == 0 {
		m.remove(c)
		c.box.Shut()
	}
}

// remove forgets a connection; the caller holds the lock. Twice does no harm.
func (m *Mux) remove(c *conn) {
	s := c.session
	if s.conns[c.inlet.index] != c {
		return
	}
	c.inlet.routes.Leave(c)
	s.conns[c.inlet.index] = nil
	if !slices.ContainsFunc(s.conns, func(c *conn) bool { return c != nil }) {
		delete(m.sessions, s.ufrag)
	}
}
