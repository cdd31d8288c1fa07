package udpio

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// Types of STUN messages (RFC 8489 section 5), as they stand in the first two bytes.
const (
	bindingRequest  = 0x0001
	bindingSuccess  = 0x0101
	responseBit     = 0x0100 // set in successes and errors
	maxRequest      = 1024   // bytes; a longer request is not kept
	transactionFrom = 8      // where the id stands
)

// Drop names why a packet was not given to ICE.
type Drop uint8

// The reasons.
const (
	Replayed       Drop = iota // a connectivity check that was answered before, again from another address
	TooManySources             // a connectivity check from one address too many for the session

	numDrops
)

// String returns the reason as it stands in metrics.
func (d Drop) String() string { return [numDrops]string{"stun_replayed", "stun_too_many_sources"}[d] }

// guard is a session's connection on one of the sockets, between pion's mux and its agent. STUN has no protection against replay: one
// authentic check, captured and sent again from other addresses, would make a candidate, a pair and a ping for each. The guard lets
// few addresses ask.
//
// And it has a check looked at again once its path has been checked. The agent sends its own check when it gets a client's, but cannot
// act when that is answered; the client's next check may be seconds away, and so would media for a client whose NAT changed its port.
//
// The agent owns it, reads it in one goroutine and closes it. Writes may come from any goroutine. pion's abortWrite is left out on
// purpose: it would set a deadline on the socket that all sessions share.
type guard struct {
	net.PacketConn
	conn    ice.AddrPortReaderWriter // the same
	sources *sources
	drops   *[numDrops]atomic.Uint64
	release func()

	// Of the reader.
	asked     []byte         // the latest request on a path that is not checked yet, while another one is; or none
	askedFrom netip.AddrPort // its address
	again     bool           // the path was checked: asked is read next
}

// ReadFromAddrPort returns the next packet that passes. Media is neither copied nor kept.
func (g *guard) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	if g.again {
		g.again = false
		n := copy(b, g.asked)
		g.asked = g.asked[:0]
		return n, g.askedFrom, nil
	}
	for {
		n, from, err := g.conn.ReadFromAddrPort(b)
		if err != nil || g.passes(b[:n], unmap(from)) {
			return n, from, err
		}
	}
}

// passes judges a packet and notes what it says about its path.
func (g *guard) passes(packet []byte, from netip.AddrPort) bool {
	now := time.Now()
	if !stun.IsMessage(packet) {
		g.sources.heardMedia(from, now)
		return true
	}
	switch binary.BigEndian.Uint16(packet) {
	case bindingSuccess:
		g.sources.heardAnswer(from, now)
		g.again = len(g.asked) > 0 && g.askedFrom == from
	case bindingRequest:
		switch g.sources.judge(from, idOf(packet), now) {
		case replayed:
			g.drops[Replayed].Add(1)
			return false
		case tooMany:
			g.drops[TooManySources].Add(1)
			return false
		case unchecked:
			if len(packet) <= maxRequest {
				g.asked, g.askedFrom = append(g.asked[:0], packet...), from
			}
		case pass:
		}
	}
	return true
}

// WriteToAddrPort sends a packet. Answers to requests show which addresses pion has taken up.
func (g *guard) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if stun.IsMessage(b) && binary.BigEndian.Uint16(b)&responseBit != 0 {
		g.sources.answer(unmap(to), idOf(b), time.Now())
	}
	return g.conn.WriteToAddrPort(b, to)
}

// ReadFrom is ReadFromAddrPort for those who want a net.Addr.
func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := g.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo is WriteToAddrPort for those who have a net.Addr, of UDP.
func (g *guard) WriteTo(b []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	return g.WriteToAddrPort(b, addr.AddrPort())
}

// Close ends the connection. The last one of a session forgets its addresses.
func (g *guard) Close() error {
	g.release()
	return g.PacketConn.Close()
}

func idOf(message []byte) transaction { return transaction(message[transactionFrom:]) }

// unmap makes addresses comparable: a socket may give IPv4 as IPv6.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
