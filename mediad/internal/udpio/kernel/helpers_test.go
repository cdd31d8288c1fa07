package kernel

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// families are loopback's addresses.
func families() map[string]netip.Addr {
	return map[string]netip.Addr{"IPv4": netip.MustParseAddr("127.0.0.1"), "IPv6": netip.IPv6Loopback()}
}

// open opens a socket of ours.
func open(tb testing.TB, addr netip.Addr) *Socket {
	tb.Helper()
	s, err := Listen(netip.AddrPortFrom(addr, 0))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// client is a peer's socket, read the plain way.
type client struct {
	*net.UDPConn
	addr netip.AddrPort
	buf  [1 << 16]byte
}

func newClient(tb testing.TB, addr netip.Addr) *client {
	tb.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadBuffer(8 << 20); err != nil {
		tb.Fatal(err)
	}
	return &client{UDPConn: conn, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
}

// expect reads one packet and compares it.
func (c *client) expect(tb testing.TB, from *Socket, want []byte) {
	tb.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	n, addr, err := c.ReadFromUDPAddrPort(c.buf[:])
	if err != nil {
		tb.Fatalf("no packet of %d bytes: %v", len(want), err)
	}
	if unmap(addr) != from.Local() {
		tb.Fatalf("a packet from %v instead of %v", addr, from.Local())
	}
	if !bytes.Equal(c.buf[:n], want) {
		tb.Fatalf("%d bytes %x… instead of %d bytes %x…", n, c.buf[:min(n, 8)], len(want), want[:min(len(want), 8)])
	}
}

// nothing checks that no packet waits.
func (c *client) nothing(tb testing.TB) {
	tb.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		tb.Fatal(err)
	}
	if n, _, err := c.ReadFromUDPAddrPort(c.buf[:]); err == nil {
		tb.Fatalf("an unexpected packet of %d bytes", n)
	}
}

// fill writes a packet that is like no other: to whom, which one, how long.
func fill(b []byte, to, number int) {
	var words [12]byte
	binary.BigEndian.PutUint32(words[:], uint32(to))      //nolint:gosec // small
	binary.BigEndian.PutUint32(words[4:], uint32(number)) //nolint:gosec // small
	binary.BigEndian.PutUint32(words[8:], uint32(len(b))) //nolint:gosec // small
	for i := range b {
		b[i] = words[i%len(words)] + byte(i/len(words))
	}
}

func filled(n, to, number int) []byte {
	b := make([]byte, n)
	fill(b, to, number)
	return b
}

// add puts a packet into a batch.
func add(b *Batch, d *Destination, n, to, number int) {
	fill(b.Room(n), to, number)
	b.Commit(n, d)
}
