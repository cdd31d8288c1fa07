package udpio

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"

	"weever/mediad/internal/udpio/mailbox"
	"weever/mediad/internal/udpio/peek"
	"weever/mediad/internal/udpio/sources"
)

// errClosed is what reads and writes return when the connection is closed. pion looks for the first when it reads, for the second when
// it writes.
var errClosed = fmt.Errorf("udpio: %w: %w", net.ErrClosed, io.ErrClosedPipe)

// maxRequest is the longest check that is kept, in bytes.
const maxRequest = 1024

// conn is a session's part of a socket. pion has one handle of it or several, one for each candidate that it makes of the socket; it ends
// with the last.
type conn struct {
	mux     *Mux
	inlet   *inlet
	session *session
	path    *Path // nil: nobody wants to know where the peer is
	box     *mailbox.Box

	// Of the inlet's goroutine.
	heard   netip.AddrPort
	heardAt time.Time
	toldAt  time.Time     // when pion was told last that a peer is there whose packets it does not get
	taker   *interception // that has got something of the batch at hand

	handles int // guarded by the Mux

	mu        sync.Mutex
	asked     []byte         // the latest check on a path that is not checked yet, while another one is; or none
	askedFrom netip.AddrPort // its address
}

// handle is what pion has of a connection. It is read by one goroutine, written by any and closed once. It implements
// ice.AddrPortReaderWriter. Deadlines are not kept: pion sets them only to end what Close ends too, and a deadline for writing would be
// one for everybody who writes to the socket.
type handle struct {
	conn   *conn
	again  bool // the path was checked: what was asked is read next; of the reader
	closed atomic.Bool
}

var (
	_ net.PacketConn           = (*handle)(nil)
	_ ice.AddrPortReaderWriter = (*handle)(nil)
)

// ReadFromAddrPort returns the next packet that is for pion. It fails when the connection is closed, and for no other reason.
func (h *handle) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	c := h.conn
	if h.again {
		h.again = false
		if n, from := c.askedAgain(b); n > 0 {
			return n, from, nil
		}
	}
	for {
		p := c.box.Next(&h.closed)
		if p == nil {
			return 0, netip.AddrPort{}, errClosed
		}
		n, size, from := copy(b, p.Data), len(p.Data), p.From
		c.mux.pool.Free(p)
		switch {
		case n < size:
			c.mux.drops[Oversized].Add(1)
		case !peek.IsSTUN(b[:n]) || h.passes(b[:n], from, time.Now()):
			return n, from, nil
		}
	}
}

// passes judges a STUN message and notes what it says about its path. It does so when pion is about to read it, not when it arrives,
// because by then pion has answered what came before.
//
// And it has a check looked at again once its path has been checked. The agent sends its own check when it gets a client's, but cannot
// act when that is answered; the client's next check may be seconds away, and so would media for a client whose NAT changed its port.
func (h *handle) passes(message []byte, from netip.AddrPort, now time.Time) bool {
	c := h.conn
	switch peek.Type(message) {
	case peek.BindingSuccess:
		c.session.sources.HeardAnswer(from, now)
		c.mu.Lock()
		h.again = len(c.asked) > 0 && c.askedFrom == from
		c.mu.Unlock()
	case peek.BindingRequest:
		switch c.session.sources.Judge(from, peek.IDOf(message), now) {
		case sources.Replayed:
			c.mux.drops[Replayed].Add(1)
			return false
		case sources.TooMany:
			c.mux.drops[TooManySources].Add(1)
			return false
		case sources.Unchecked:
			c.mu.Lock()
			if len(message) <= maxRequest {
				c.asked, c.askedFrom = append(c.asked[:0], message...), from
			}
			c.mu.Unlock()
		case sources.Pass:
		}
	}
	return true
}

// askedAgain copies the check that is to be looked at again, and forgets it.
func (c *conn) askedAgain(b []byte) (int, netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(b, c.asked)
	c.asked = c.asked[:0]
	return n, c.askedFrom
}

// WriteToAddrPort sends a packet, and notes what it shows: where packets for this session will come from, where pion has found its peer,
// and which checks it has answered because they were authentic.
func (h *handle) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c := h.conn
	if h.closed.Load() {
		return 0, errClosed
	}
	to = unmap(to)
	var check peek.ID
	switch {
	case !peek.IsSTUN(b):
		if c.path != nil {
			c.path.learn(c.inlet.socket, to)
		}
		if !c.session.secured.Load() && (!peek.IsDTLS(b) || peek.Epoch(b) > 0) { // after an ICE restart the first is a report
			c.session.secured.Store(true)
		}
	case peek.Type(b) == peek.BindingRequest:
		check = peek.IDOf(b)
	case peek.Type(b)&peek.ResponseBit != 0:
		c.session.sources.Answered(to, peek.IDOf(b), time.Now())
	}
	c.inlet.routes.Claim(c, to, check)
	return c.inlet.socket.WriteTo(b, to) //nolint:wrapcheck // the socket's own
}

// ReadFrom is ReadFromAddrPort for those who want a net.Addr.
func (h *handle) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := h.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo is WriteToAddrPort for those who have a net.Addr, of UDP.
func (h *handle) WriteTo(b []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errors.New("udpio: not a UDP address")
	}
	return h.WriteToAddrPort(b, addr.AddrPort())
}

// Close ends the handle's reads and writes; other handles and sessions do not notice. Twice does no harm.
func (h *handle) Close() error {
	if !h.closed.Swap(true) {
		h.conn.box.Wake()
		h.conn.mux.release(h.conn)
	}
	return nil
}

// LocalAddr is the socket's address.
func (h *handle) LocalAddr() net.Addr { return h.conn.inlet.addr }

// SetDeadline does nothing.
func (h *handle) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (h *handle) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (h *handle) SetWriteDeadline(time.Time) error { return nil }

// unmap makes addresses comparable: IPv4 may come as IPv6.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
