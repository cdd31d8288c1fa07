package kernel

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weever/shared/eventually"
)

// Who reads is woken by what arrives, not by what has left: a node that sends a thousand packets for each that it gets must not look after
// each of them.
func TestWokenByArrivalsAlone(t *testing.T) {
	s, c := open(t, loopback()), newClient(t, loopback())
	var looks, packets atomic.Int64
	r := newReceiver(s, func(p []Packet) { packets.Add(int64(len(p))) })
	r.read = func(fd uintptr) {
		looks.Add(1)
		r.drain(fd)
	}
	done := make(chan struct{})
	go func() {
		_ = r.run() // until the socket is closed
		close(done)
	}()
	eventually.True(t, 10*time.Second, "the first look", func() bool { return looks.Load() == 1 })
	b, d := NewBatch(), NewDestination(s, c.addr)
	const n = 200
	for i := range n {
		add(b, d, 1000, 0, i)
		b.Flush()
		if _, err := s.WriteTo(filled(10, 0, i), c.addr); err != nil {
			t.Fatal(err)
		}
		c.expect(t, s, filled(1000, 0, i))
		c.expect(t, s, filled(10, 0, i))
	}
	if _, err := c.WriteToUDPAddrPort([]byte{1}, s.Local()); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, 10*time.Second, "the packet", func() bool { return packets.Load() == 1 })
	if l := looks.Load(); l > 3 {
		t.Errorf("%d looks for one packet, while %d left", l, 2*n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
}

// A packet that leaves by itself waits for room as a batch does, and is released when the socket is closed.
func TestLetterWaits(t *testing.T) {
	apart(t, func(t *testing.T) {
		run(t, "tc qdisc add dev lo root tbf rate 1kbit burst 2kb limit 16mb")
		s, c := open(t, loopback()), newClient(t, loopback())
		s.SetBuffers(5_000)
		done := make(chan error)
		go func() {
			for {
				if _, err := s.WriteTo(make([]byte, 1200), c.addr); err != nil {
					done <- err
					return
				}
			}
		}()
		sent := uint64(0)
		eventually.True(t, 10*time.Second, "no more room", func() bool {
			before := sent
			sent = s.Out().Packets
			return sent > 0 && sent == before
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// An address of the other family is refused; it does not reach the kernel, which would take it for something else.
func TestOtherFamily(t *testing.T) {
	for name, addr := range families() {
		to := netip.MustParseAddrPort("[::1]:9")
		if addr.Is6() {
			to = netip.MustParseAddrPort("127.0.0.1:9")
		}
		s := open(t, addr)
		if _, err := s.WriteTo([]byte{1}, to); !errors.Is(err, syscall.EAFNOSUPPORT) || s.Out().Errors != 1 {
			t.Errorf("%s: %v, %+v", name, err, s.Out())
		}
	}
}

// Packets that leave by themselves cost no memory.
func TestLettersDoNotAllocate(t *testing.T) {
	for name, addr := range families() {
		s, c := open(t, addr), newClient(t, addr)
		packet := filled(100, 0, 0)
		if n := testing.AllocsPerRun(100, func() { _, _ = s.WriteTo(packet, c.addr) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
