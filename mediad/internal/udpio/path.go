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
	to   atomic.Pointer[kernel.Destination] // nil: not known yet
	take atomic.Pointer[interception]       // nil: pion gets everything
}

// Taker takes packets in pion's place. It is called by the goroutine that reads a socket, one for each of the node's addresses: it must not
// block.
type Taker interface {
	// Take gets a packet, which is borrowed until Taken returns. Until then it may be changed.
	Take(packet []byte)
	// Taken says that those were all that have come together.
	Taken()
}

// interception is a Taker and what it takes.
type interception struct {
	Taker
	media bool
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

// InterceptFeedback gives every SRTCP packet that comes from where the path sends to not to pion, but to t, until Release.
//
// pion, which then hears the peer seldom, is told now and then that it is there.
func (p *Path) InterceptFeedback(t Taker) { p.take.Store(&interception{t, false}) }

// InterceptMedia gives all SRTP and SRTCP packets to t, until Release, from whatever address of the session's they come: whether they are the
// peer's their authentication tells, and a peer whose address has changed is heard before ICE has found that out. Else as InterceptFeedback.
func (p *Path) InterceptMedia(t Taker) { p.take.Store(&interception{t, true}) }

// Release gives everything to pion again. A call of the Taker may still be under way when it returns.
func (p *Path) Release() { p.take.Store(nil) }

// Refuse counts a packet that take could not use.
func (p *Path) Refuse(why Drop) { p.mux.drops[why].Add(1) }

// wants returns who gets a packet instead of pion, or nil.
func (p *Path) wants(packet *kernel.Packet, s *kernel.Socket) *interception {
	if p == nil || !peek.IsMedia(packet.Data) {
		return nil
	}
	i := p.take.Load()
	if i == nil || i.media {
		return i
	}
	if to := p.to.Load(); !peek.IsFeedback(packet.Data) || to == nil || to.Socket != s || to.Addr != packet.From {
		return nil
	}
	return i
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
