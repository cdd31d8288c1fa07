package udpio

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(tb testing.TB) *Mux {
	tb.Helper()
	m, err := Listen(Config{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = m.Close() })
	return m
}

// agent stands for pion's: it holds a connection.
type agent struct {
	tb testing.TB
	net.PacketConn
	rw  ice.AddrPortReaderWriter // the same
	buf [maxPacket]byte
}

// getter is a Mux or a Path.
type getter interface {
	GetConn(ufrag string, addr net.Addr) (net.PacketConn, error)
}

// join opens a connection on the first socket.
func join(tb testing.TB, m *Mux, from getter, ufrag string) *agent {
	tb.Helper()
	conn, err := from.GetConn(ufrag, m.GetListenAddresses()[0])
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &agent{tb: tb, PacketConn: conn, rw: conn.(ice.AddrPortReaderWriter)}
}

// expect reads a packet and compares it.
func (a *agent) expect(from *peer, want []byte) {
	a.tb.Helper()
	n, addr, err := a.rw.ReadFromAddrPort(a.buf[:])
	if err != nil || addr != from.addr || !bytes.Equal(a.buf[:n], want) {
		a.tb.Fatalf("got % x from %v (%v), want % x from %v", a.buf[:min(n, 24)], addr, err, want[:min(len(want), 24)], from.addr)
	}
}

func (a *agent) write(to *peer, packet []byte) {
	a.tb.Helper()
	if _, err := a.rw.WriteToAddrPort(packet, to.addr); err != nil {
		a.tb.Fatal(err)
	}
}

// peer is a client's socket.
type peer struct {
	tb testing.TB
	*net.UDPConn
	addr netip.AddrPort
	to   netip.AddrPort // ours
	buf  [maxPacket]byte
}

func newPeer(tb testing.TB, m *Mux) *peer {
	tb.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.Addrs()[0].Addr(), 0)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return &peer{tb: tb, UDPConn: c, addr: c.LocalAddr().(*net.UDPAddr).AddrPort(), to: m.Addrs()[0]}
}

func (p *peer) send(packets ...[]byte) {
	p.tb.Helper()
	for _, b := range packets {
		if _, err := p.WriteToUDPAddrPort(b, p.to); err != nil {
			p.tb.Fatal(err)
		}
	}
}

// expect reads a packet and compares it.
func (p *peer) expect(want []byte) {
	p.tb.Helper()
	if err := p.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		p.tb.Fatal(err)
	}
	n, from, err := p.ReadFromUDPAddrPort(p.buf[:])
	if err != nil || unmap(from) != p.to || !bytes.Equal(p.buf[:n], want) {
		p.tb.Fatalf("got % x from %v (%v), want % x", p.buf[:min(n, 24)], from, err, want[:min(len(want), 24)])
	}
}

// The kinds of packets; the number makes them differ.

func media(i int) []byte {
	return append([]byte{0x80, 96, byte(i >> 8), byte(i)}, make([]byte, 1000)...)
}

func rtcp(i int) []byte {
	return append([]byte{0x80, 201, 0, 1, byte(i >> 8), byte(i)}, make([]byte, 30)...)
}

func dtls(i int) []byte {
	return append([]byte{22, 254, 253, byte(i >> 8), byte(i)}, make([]byte, 40)...)
}

// check is a request for a session; nobody looks whether it is authentic.
func check(ufrag string) []byte {
	return stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":theirs"), stun.Fingerprint).Raw
}

// answer is what is said to a check.
func answer(to []byte) []byte {
	m := &stun.Message{Raw: bytes.Clone(to)}
	if err := m.Decode(); err != nil {
		panic(err) //nolint:forbidigo // the test's own
	}
	return stun.MustBuild(m, stun.BindingSuccess, stun.Fingerprint).Raw
}

// leftovers checks that nothing is remembered of sessions that have ended.
func leftovers(t *testing.T, m *Mux) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sessions) != 0 {
		t.Errorf("%d sessions are remembered", len(m.sessions))
	}
	for _, in := range m.inlets {
		if n := in.routes.Len(); n != 0 {
			t.Errorf("%d addresses are remembered", n)
		}
	}
}

// takes is a Taker.
type takes func(packet []byte)

func (f takes) Take(packet []byte) { f(packet) }
func (takes) Taken()               {}
