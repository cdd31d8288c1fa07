//go:build !linux

package kernel

import (
	"net"
	"net/netip"
	"time"
)

// This file sends and receives packets one by one, where there is no better way.

type port struct{ *net.UDPConn }

func openPort(addr netip.AddrPort) (p *port, local netip.AddrPort, err error) {
	p = &port{}
	if p.UDPConn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr)); err != nil {
		return nil, local, err //nolint:wrapcheck // for whoever knows what the address is for
	}
	return p, p.LocalAddr().(*net.UDPAddr).AddrPort(), nil //nolint:forcetypeassert // a UDPConn's address is one
}

func (p *port) shut() error { return p.Close() } //nolint:wrapcheck // the socket's own

// rouse has who reads come back with os.ErrDeadlineExceeded, and everybody from now on until settle.
func (p *port) rouse()  { _ = p.SetReadDeadline(time.Unix(1, 0)) }
func (p *port) settle() { _ = p.SetReadDeadline(time.Time{}) }

// post sends one packet.
func (s *Socket) post(packet []byte, to netip.AddrPort) error {
	_, err := s.port.WriteToUDPAddrPort(packet, to)
	return err //nolint:wrapcheck // the socket's own
}

type sockaddr struct{}

func (*sockaddr) set(netip.AddrPort, bool) {}

type system struct{}

func (*system) init() {}

func (*Socket) canCut() bool { return false }

func (*Socket) gather() {}

// send sends the messages of the batch that are for this socket.
func (b *Batch) send(s *Socket, _ bool) {
	for i := range b.n {
		if m := &b.messages[i]; !m.gone && m.to.Socket == s {
			b.single(m)
		}
	}
}

type receiver struct {
	socket *Socket
	take   func([]Packet)
	buf    [1 << 16]byte
	one    [1]Packet
}

func newReceiver(s *Socket, take func([]Packet)) *receiver { return &receiver{socket: s, take: take} }

// run reads until an error.
func (r *receiver) run() error {
	for {
		n, from, err := r.socket.port.ReadFromUDPAddrPort(r.buf[:])
		if err != nil {
			return err //nolint:wrapcheck // for Receive, which looks whether the socket is closed
		}
		r.one[0] = Packet{Data: r.buf[:n:n], From: unmap(from)}
		r.socket.in.count(1, n, 1)
		r.take(r.one[:])
	}
}

// SetBuffers asks for so many bytes in each direction. What was granted is not known: 0.
func (s *Socket) SetBuffers(size int) (receive, send int) {
	_, _ = s.port.SetReadBuffer(size), s.port.SetWriteBuffer(size)
	return 0, 0
}

// Overflows is not known: 0.
func (*Socket) Overflows() uint64 { return 0 }
