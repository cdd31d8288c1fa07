package udpio

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// This file counts what goes through the sockets. Listen makes a socket per address; pion's mux reads it in one goroutine and writes it
// from any.

// socket is a UDP socket that counts. It implements ice.AddrPortReaderWriter.
type socket struct {
	*net.UDPConn
	in      traffic
	_       [64]byte // the reader's and the writers' counters on cache lines of their own
	out     traffic
	refused atomic.Uint64 // packets that the kernel did not send
}

// traffic is what went one way.
type traffic struct {
	packets, bytes atomic.Uint64
}

func (t *traffic) count(n int) {
	t.packets.Add(1)
	t.bytes.Add(uint64(n)) //nolint:gosec // a length
}

// received counts a packet of n bytes, unless there was none.
func (s *socket) received(n int, err error) {
	if err == nil {
		s.in.count(n)
	}
}

// sent counts a packet of n bytes, or that it was refused.
func (s *socket) sent(n int, err error) {
	if err != nil {
		s.refused.Add(1)
		return
	}
	s.out.count(n)
}

// ReadFromAddrPort reads one packet.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := s.ReadFromUDPAddrPort(b)
	s.received(n, err)
	return n, from, err //nolint:wrapcheck // the socket's own
}

// WriteToAddrPort writes one packet.
func (s *socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n, err := s.WriteToUDPAddrPort(b, to)
	s.sent(n, err)
	return n, err //nolint:wrapcheck // the socket's own
}

// ReadFrom is ReadFromAddrPort for those who want a net.Addr.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.UDPConn.ReadFrom(b)
	s.received(n, err)
	return n, from, err //nolint:wrapcheck // the socket's own
}

// WriteTo is WriteToAddrPort for those who have a net.Addr.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := s.UDPConn.WriteTo(b, to)
	s.sent(n, err)
	return n, err //nolint:wrapcheck // the socket's own
}

// Stats is what went through the port since it was opened, of whatever kind: media, RTCP, DTLS, STUN and what strangers send. Bytes are
// those of UDP's payload.
type Stats struct {
	PacketsIn, BytesIn   uint64
	PacketsOut, BytesOut uint64
	SendErrors           uint64            // packets that the kernel refused
	Drops                map[string]uint64 // packets not given to ICE, by reason; all reasons are there
}

// Stats reads the counters. It costs a few loads and takes no lock.
func (m *Mux) Stats() Stats {
	st := Stats{Drops: make(map[string]uint64, numDrops)}
	for _, s := range m.sockets {
		st.PacketsIn += s.in.packets.Load()
		st.BytesIn += s.in.bytes.Load()
		st.PacketsOut += s.out.packets.Load()
		st.BytesOut += s.out.bytes.Load()
		st.SendErrors += s.refused.Load()
	}
	for d := range numDrops {
		st.Drops[d.String()] = m.drops[d].Load()
	}
	return st
}
