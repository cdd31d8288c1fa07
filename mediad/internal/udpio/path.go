package udpio

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/pion/ice/v4"

	"weever/mediad/internal/udpio/kernel"
	"weever/mediad/internal/udpio/peek"
)

// errNoPath is why nothing could be sent.
var errNoPath = errors.New("udpio: the peer's address is not known yet")

// Path is one connection's share of the port. pion's ICE agent opens its sockets through it; by what pion writes to the pair of
// candidates that it has selected (DTLS and SRTCP) the path learns where the peer is, for those who send to it without pion.
//
// One per PeerConnection, made before it; it has nothing to close. It implements ice.UDPMux.
type Path struct {
	mux  *Mux
	to   atomic.Pointer[kernel.Destination]  // nil: not known yet
	take atomic.Pointer[func(packet []byte)] // nil: pion gets everything
}

var _ ice.UDPMux = (*Path)(nil)

// Path returns the share of a new connection.
func (m *Mux) Path() *Path { return &Path{mux: m} }

// GetConn gives the connection its part of the socket with this address. The caller must close it.
func (p *Path) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	return p.mux.open(ufrag, addr, p)
}

// RemoveConnByUfrag gives no more packets to what GetConn returned for the user fragment.
func (p *Path) RemoveConnByUfrag(ufrag string) { p.mux.RemoveConnByUfrag(ufrag) }

// GetListenAddresses returns the addresses of the node's sockets.
func (p *Path) GetListenAddresses() []net.Addr { return p.mux.GetListenAddresses() }

// Close does nothing: the port is the node's.
func (p *Path) Close() error { return nil }

// Write sends one packet to the peer at once. It fails when it is not known where that is, or as the socket does.
func (p *Path) Write(packet []byte) (int, error) {
	to := p.to.Load()
	if to == nil {
		return 0, errNoPath
	}
	return to.Socket.WriteTo(packet, to.Addr) //nolint:wrapcheck // the socket's own
}

// Intercept has take called, instead of pion, with every SRTCP packet that comes from where the path sends to; nil gives them to pion
// again. It is called in the goroutine that reads the socket, by one at a time for each socket: it must not block. The packet is borrowed
// until it returns. A call may still be under way when Intercept returns.
//
// pion, which then hears the peer seldom, is told now and then that it is there.
func (p *Path) Intercept(take func(packet []byte)) {
	if take == nil {
		p.take.Store(nil)
		return
	}
	p.take.Store(&take)
}

// Refuse counts a packet that take could not use.
func (p *Path) Refuse(why Drop) { p.mux.drops[why].Add(1) }

// wants returns who gets a packet instead of pion, or nil.
func (p *Path) wants(packet *kernel.Packet, s *kernel.Socket) *func([]byte) {
	if p == nil || !peek.IsFeedback(packet.Data) {
		return nil
	}
	if to := p.to.Load(); to == nil || to.Socket != s || to.Addr != packet.From {
		return nil
	}
	return p.take.Load()
}

// learn notes that pion sent something other than STUN to an address. Any goroutine may call it.
func (p *Path) learn(s *kernel.Socket, addr netip.AddrPort) {
	if to := p.to.Load(); to == nil || to.Socket != s || to.Addr != addr {
		p.to.Store(kernel.NewDestination(s, addr))
	}
}

// Batch gathers packets to many peers until Flush, or until it is full; see kernel.Batch, whose Room and Flush these are. It is used by
// one goroutine at a time and has nothing to close.
type Batch struct{ *kernel.Batch }

// NewBatch returns an empty batch of about 160 KB.
func NewBatch() *Batch { return &Batch{kernel.NewBatch()} }

// Commit takes the first n bytes of what Room returned last as one packet to the path's peer. It fails when it is not known where that is.
func (b *Batch) Commit(n int, p *Path) error {
	to := p.to.Load()
	if to == nil {
		return errNoPath
	}
	b.Batch.Commit(n, to)
	return nil
}
