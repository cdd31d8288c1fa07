// Package wire is a network under a PeerConnection that can be unplugged, that can lose packets, and that knows when one came.
package wire

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// receiveBuffer is what a socket asks of the kernel, in bytes: a key frame cache may come as one burst.
const receiveBuffer = 1 << 20

// Wire is the machine's network with two faults on demand. It can be unplugged, as a phone's is that enters a lift: packets vanish
// both ways and no socket reports anything. It can lose some of what arrives. Both are done to UDP, not to TCP.
//
// Where the kernel tells when a packet came, it remembers that for a moment: a reader that shares its core with a hundred others is late.
//
// It is a transport.Net for a webrtc.SettingEngine; the ICE agent opens and closes the sockets. Any goroutine may call it.
type Wire struct {
	*stdnet.Net
	down atomic.Bool
	loss atomic.Uint32 // share of received packets to lose, in units of 2^-32
	came times
}

// New makes a Wire that is plugged in and loses nothing.
func New() (*Wire, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return &Wire{Net: n}, nil
}

// Interfaces implements transport.Net with the interfaces of this moment: after a change of network an ICE restart finds the new
// addresses. What is below lists them only once.
func (w *Wire) Interfaces() ([]*transport.Interface, error) {
	now, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return now.Interfaces()
}

// Plug unplugs the wire (false) or plugs it in again.
func (w *Wire) Plug(in bool) { w.down.Store(!in) }

// Lose makes a share, 0 to 1, of the packets that arrive get lost.
func (w *Wire) Lose(share float64) {
	w.loss.Store(uint32(min(max(share, 0), 1) * (1<<32 - 1)))
}

// ListenUDP implements transport.Net.
func (w *Wire) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(receiveBuffer) // the kernel may grant less
	return &socket{UDPConn: c, wire: w, stamps: stamped(c)}, nil
}

// Came says when the kernel got an RTP packet; ok is false when it does not tell, or when about a thousand others came since.
func (w *Wire) Came(ssrc uint32, seq uint16) (at time.Time, ok bool) { return w.came.get(ssrc, seq) }

// lost decides on one packet that has arrived.
func (w *Wire) lost() bool {
	if w.down.Load() {
		return true
	}
	loss := w.loss.Load()
	return loss > 0 && rand.Uint32() < loss
}

// socket implements ice.AddrPortReaderWriter besides net.PacketConn, so that no address is allocated per packet. One goroutine reads it,
// its ICE candidate's.
type socket struct {
	*net.UDPConn
	wire    *Wire
	stamps  bool            // the kernel tells the time of each packet
	control [stampRoom]byte // where it does so
}

// ReadFrom implements net.PacketConn.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := s.UDPConn.ReadFrom(b)
		if err != nil || !s.wire.lost() {
			return n, addr, err
		}
	}
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, addr, err := s.read(b)
		if err != nil || !s.wire.lost() {
			return n, addr, err
		}
	}
}

// read takes a packet from the kernel, and the time it came.
func (s *socket) read(b []byte) (int, netip.AddrPort, error) {
	if !s.stamps {
		return s.ReadFromUDPAddrPort(b)
	}
	n, m, _, addr, err := s.ReadMsgUDPAddrPort(b, s.control[:])
	if err == nil {
		if ns, ok := readStamp(s.control[:m]); ok {
			s.wire.came.put(b[:n], ns)
		}
	}
	return n, addr, err
}

// WriteTo implements net.PacketConn.
func (s *socket) WriteTo(b []byte, addr net.Addr) (int, error) {
	if s.wire.down.Load() {
		return len(b), nil
	}
	return s.UDPConn.WriteTo(b, addr)
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (s *socket) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if s.wire.down.Load() {
		return len(b), nil
	}
	return s.WriteToUDPAddrPort(b, addr)
}
