package udpio

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"weever/shared/eventually"
)

// What one closes others keep: another session, and another handle of the same connection.
func TestClose(t *testing.T) {
	m := listen(t)
	one, same, other := join(t, m, m, "one"), join(t, m, m, "one"), join(t, m, m, "other")
	a, b := newPeer(t, m), newPeer(t, m)
	one.write(a, dtls(0))
	other.write(b, dtls(0))
	a.expect(dtls(0))
	b.expect(dtls(0))

	read := make(chan error)
	go func() {
		_, _, err := one.ReadFrom(one.buf[:])
		read <- err
	}()
	if err := one.SetDeadline(time.Now()); err != nil { // as pion does first
		t.Fatal(err)
	}
	for range 2 {
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read ended with %v", err)
	}
	if _, err := one.WriteTo(dtls(1), net.UDPAddrFromAddrPort(a.addr)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a write ended with %v", err)
	}
	for i := range 3 {
		a.send(media(i))
		b.send(media(i))
		same.expect(a, media(i))
		other.expect(b, media(i))
		same.write(a, dtls(i))
		other.write(b, dtls(i))
		a.expect(dtls(i))
		b.expect(dtls(i))
	}
	_ = same.Close()
	a.send(media(0), check("one"))
	eventually.True(t, 10*time.Second, "the drops", func() bool { return m.Drops(UnknownSource) == 1 && m.Drops(UnknownCheck) == 1 })
	_ = other.Close()
	leftovers(t, m)
}

// A fragment that is removed gets nothing more, while its connection waits to be closed; the same name again is somebody new.
func TestRemove(t *testing.T) {
	m := listen(t)
	before, p := join(t, m, m, "name"), newPeer(t, m)
	before.write(p, dtls(0))
	p.send(media(0))
	before.expect(p, media(0))
	m.RemoveConnByUfrag("name")
	m.RemoveConnByUfrag("name")
	m.RemoveConnByUfrag("nobody")
	before.write(p, dtls(1)) // does not get the address back
	p.send(media(1), check("name"))
	eventually.True(t, 10*time.Second, "the drops", func() bool { return m.Drops(UnknownSource) == 1 && m.Drops(UnknownCheck) == 1 })
	after := join(t, m, m, "name")
	after.write(p, dtls(2))
	_ = before.Close()
	p.send(media(2))
	after.expect(p, media(2))
	_ = after.Close()
	leftovers(t, m)
}

// Closing the port ends everything.
func TestClosePort(t *testing.T) {
	m := listen(t)
	a, p := join(t, m, m, "name"), newPeer(t, m)
	read := make(chan error)
	go func() {
		_, _, err := a.rw.ReadFromAddrPort(a.buf[:])
		read <- err
	}()
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read ended with %v", err)
	}
	if _, err := a.rw.WriteToAddrPort(dtls(0), p.addr); err == nil {
		t.Error("a write found a closed port open")
	}
	if _, err := m.GetConn("new", m.GetListenAddresses()[0]); err == nil {
		t.Error("a closed port gave a connection")
	}
	_ = a.Close()
}

// Addresses that are not the port's.
func TestForeignAddress(t *testing.T) {
	m := listen(t)
	for _, addr := range []net.Addr{&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: m.Port()}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, &net.TCPAddr{}} {
		if _, err := m.GetConn("name", addr); err == nil {
			t.Errorf("a connection at %v", addr)
		}
	}
	if _, err := join(t, m, m, "name").WriteTo(dtls(0), &net.TCPAddr{}); err == nil {
		t.Error("a packet to a TCP address was taken")
	}
}

// Who does not read gets no more than fits, is not in the way of others, and loses checks last.
func TestQueue(t *testing.T) {
	m := listen(t)
	deaf, p := join(t, m, m, "deaf"), newPeer(t, m)
	other, q, stranger := join(t, m, m, "other"), newPeer(t, m), newPeer(t, m)
	deaf.write(p, dtls(0))
	other.write(q, dtls(0))
	const more = 88
	for i := range maxQueued + more {
		p.send(media(i))
		q.send(media(i))
		other.expect(q, media(i)) // so that the kernel has room
	}
	eventually.True(t, 10*time.Second, "the drops", func() bool { return m.Drops(QueueFull) == more })
	first, last := check("deaf"), check("deaf")
	p.send(first)
	for range maxQueuedSTUN - maxQueued - 2 {
		p.send(check("deaf"))
	}
	p.send(last, check("deaf"))
	stranger.send(check("deaf"))
	eventually.True(t, 10*time.Second, "the drops", func() bool { return m.Drops(QueueFull) == more+2 })
	for i := range maxQueued {
		deaf.expect(p, media(i))
	}
	deaf.expect(p, first)

	quiet := join(t, m, m, "quiet")
	alien := make([][]byte, maxQueuedAlien)
	for i := range alien {
		alien[i] = check("quiet")
	}
	stranger.send(alien...)
	stranger.send(check("quiet"))
	eventually.True(t, 10*time.Second, "the drop", func() bool { return m.Drops(QueueFull) == more+3 })
	for _, c := range alien {
		quiet.expect(stranger, c)
	}
}

// Packets longer than pion has room for, or than the reader's buffer, are dropped; the next ones come.
func TestOversized(t *testing.T) {
	m := listen(t)
	a, p := join(t, m, m, "name"), newPeer(t, m)
	a.write(p, dtls(0))
	long := media(0)
	long = append(long, make([]byte, maxPacket-len(long))...)
	p.send(append(long, 0), long, media(1))
	a.expect(p, long)
	a.expect(p, media(1))
	p.send(media(2), dtls(3))
	n, _, err := a.rw.ReadFromAddrPort(a.buf[:100])
	if err != nil || n != len(dtls(3)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n := m.Drops(Oversized); n != 2 {
		t.Errorf("%d drops", n)
	}
}

// The agent is shown a check again when its path has been checked: right after the answer, once, and not one of another path.
func TestAskedAgain(t *testing.T) {
	m := listen(t)
	a, home, away := join(t, m, m, "name"), newPeer(t, m), newPeer(t, m)
	ours := check("theirs")
	for _, p := range []*peer{home, away} { // pion answers both, and checks the first
		c := check("name")
		p.send(c)
		a.expect(p, c)
		a.write(p, answer(c))
	}
	a.write(home, ours)
	home.send(answer(ours))
	a.expect(home, answer(ours))

	asked := check("name")
	away.send(asked)
	a.expect(away, asked)
	a.write(away, ours)
	home.send(answer(ours), media(1)) // not the path that was asked on
	a.expect(home, answer(ours))
	a.expect(home, media(1))
	away.send(answer(ours), media(2))
	a.expect(away, answer(ours))
	a.expect(away, asked)
	a.expect(away, media(2))
}

// Whoever writes to an address that nobody has any more hurts nobody.
func TestPortSurvivesErrors(t *testing.T) {
	m := listen(t)
	a, p, gone := join(t, m, m, "name"), newPeer(t, m), newPeer(t, m)
	_ = gone.Close()
	for i := range 20 {
		_, _ = a.rw.WriteToAddrPort(dtls(i), gone.addr)
		a.write(p, dtls(i))
		p.expect(dtls(i))
		p.send(media(i))
		a.expect(p, media(i))
	}
}

// A write deadline of one is not everybody's.
func TestDeadlines(t *testing.T) {
	m := listen(t)
	a, b, p := join(t, m, m, "a"), join(t, m, m, "b"), newPeer(t, m)
	past := time.Unix(1, 0)
	if err := errors.Join(a.SetDeadline(past), a.SetReadDeadline(past), a.SetWriteDeadline(past)); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*agent{a, b} {
		x.write(p, dtls(1))
		p.expect(dtls(1))
	}
	p.send(media(1))
	a.expect(p, media(1))
	if got := a.LocalAddr().String(); got != m.GetListenAddresses()[0].String() {
		t.Errorf("local address %s", got)
	}
}
