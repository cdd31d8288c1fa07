package wire

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4"
)

var (
	_ transport.Net            = (*Wire)(nil)
	_ ice.AddrPortReaderWriter = (*socket)(nil)
)

// pair is a wire's socket and a plain one at the other end.
func pair(t *testing.T) (*Wire, *socket, *net.UDPConn) {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	local := net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	c, err := w.ListenUDP("udp4", &local)
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.ListenUDP("udp4", &local)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = other.Close()
	})
	for _, conn := range []interface{ SetReadDeadline(time.Time) error }{c, other} {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return w, c.(*socket), other
}

func port(c net.PacketConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func TestUnplugged(t *testing.T) {
	w, ours, theirs := pair(t)
	buf := make([]byte, 100)
	sends := []func(string) (int, error){
		func(s string) (int, error) { return ours.WriteTo([]byte(s), theirs.LocalAddr()) },
		func(s string) (int, error) { return ours.WriteToAddrPort([]byte(s), port(theirs)) },
	}
	receives := []func() (int, error){
		func() (int, error) { n, _, err := ours.ReadFrom(buf); return n, err },
		func() (int, error) { n, _, err := ours.ReadFromAddrPort(buf); return n, err },
	}
	for i := range sends {
		w.Plug(false)
		if n, err := sends[i]("lost"); n != 4 || err != nil {
			t.Errorf("unplugged, a write says %d, %v", n, err)
		}
		w.Plug(true)
		if n, err := sends[i]("kept"); n != 4 || err != nil {
			t.Errorf("plugged in, a write says %d, %v", n, err)
		}
		n, _, err := theirs.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "kept" {
			t.Errorf("the other side got %q, %v", buf[:n], err)
		}

		// What arrives while a read is on and the plug is out is gone.
		w.Lose(1)
		read := make(chan string)
		go func() {
			n, err := receives[i]()
			if err != nil {
				t.Error(err)
			}
			read <- string(buf[:n])
		}()
		tick := time.NewTicker(time.Millisecond)
		for range 10 { // whether it is read now or later, it is not handed on while everything is lost
			if _, err := theirs.WriteTo([]byte("lost"), ours.LocalAddr()); err != nil {
				t.Error(err)
			}
			<-tick.C
		}
		select {
		case got := <-read:
			t.Fatalf("%q was not lost", got)
		case <-tick.C:
		}
		tick.Stop()
		w.Lose(0)
		if _, err := theirs.WriteTo([]byte("kept"), ours.LocalAddr()); err != nil {
			t.Error(err)
		}
		if got := <-read; got != "kept" && got != "lost" { // the last ones may have waited in the socket until now
			t.Errorf("%q", got)
		}
		for drained := false; !drained; {
			if err := ours.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			_, _, err := ours.ReadFrom(buf)
			drained = err != nil
		}
		if err := ours.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLossIsAShare(t *testing.T) {
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for share, want := range map[float64][2]int{-1: {0, 0}, 0: {0, 0}, 0.25: {2000, 3000}, 2: {9990, 10000}} {
		w.Lose(share)
		n := 0
		for range 10000 {
			if w.lost() {
				n++
			}
		}
		if n < want[0] || n > want[1] {
			t.Errorf("%d of 10000 lost, want %v of them", n, share)
		}
	}
}

func TestSocketsOfABusyPort(t *testing.T) {
	w, ours, _ := pair(t)
	if c, err := w.ListenUDP("udp4", ours.LocalAddr().(*net.UDPAddr)); err == nil {
		_ = c.Close()
		t.Error("one port was given out twice")
	}
}

// The kernel tells when a packet came, however late it is read.
func TestCame(t *testing.T) {
	w, ours, theirs := pair(t)
	if !ours.stamps {
		t.Fatal("the kernel does not tell the time of packets")
	}
	packet := func(seq byte) []byte { return []byte{0x80, 96, 0, seq, 0, 0, 0, 0, 1, 2, 3, 4} }
	const ssrc = 0x01020304
	read := func() {
		t.Helper()
		if _, _, err := ours.ReadFromAddrPort(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now()
	for _, b := range [][]byte{packet(5), packet(6), {0x80, 200, 0, 7, 0, 0, 0, 0, 1, 2, 3, 4}, {0x80, 96, 0, 8}} { // the last two are no RTP
		if _, err := theirs.WriteTo(b, ours.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	sent := time.Now()
	<-time.After(20 * time.Millisecond)
	for range 4 {
		read()
	}
	for seq, want := range map[uint16]bool{4: false, 5: true, 6: true, 7: false, 8: false} {
		at, ok := w.Came(ssrc, seq)
		if ok != want || ok && (at.Before(before.Add(-time.Millisecond)) || at.After(sent.Add(time.Millisecond))) {
			t.Errorf("packet %d: %v, %v; sent between %v and %v", seq, at, ok, before, sent)
		}
	}
	if _, ok := w.Came(ssrc+1, 5); ok {
		t.Error("a packet of another stream is known")
	}
}

func BenchmarkRead(b *testing.B) {
	w, err := New()
	if err != nil {
		b.Fatal(err)
	}
	c, err := w.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	s, buf, at := c.(*socket), make([]byte, 1500), port(c)
	packet := make([]byte, 1200)
	packet[0] = 0x80
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.WriteToAddrPort(packet, at); err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.ReadFromAddrPort(buf); err != nil {
			b.Fatal(err)
		}
	}
}
