package kernel

import (
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weever/shared/eventually"
)

// Root gets the buffers that it asks for, others what the machine's limits grant.
func TestBuffers(t *testing.T) {
	const size = 8 << 20
	s := open(t, loopback())
	if receive, send := s.SetBuffers(size); receive != size || send != size {
		t.Errorf("root got %d and %d bytes, wanted %d", receive, send, size)
	}
	limit := func(name string) int {
		text, err := os.ReadFile("/proc/sys/net/core/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return min(n, size)
	}
	wantReceive, wantSend := limit("rmem_max"), limit("wmem_max")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var rights [2]unix.CapUserData
		if err := unix.Capget(&head, &rights[0]); err != nil {
			t.Error(err)
			return
		}
		rights[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&head, &rights[0]); err != nil {
			t.Error(err)
			return
		}
		if receive, send := s.SetBuffers(size); receive != wantReceive || send != wantSend {
			t.Errorf("others got %d and %d bytes, want %d and %d", receive, send, wantReceive, wantSend)
		}
	}()
	<-done
}

// Packets that found no room are known.
func TestOverflows(t *testing.T) {
	s, c := open(t, loopback()), newClient(t, loopback())
	s.SetBuffers(1)
	const n = 100
	for range n {
		if _, err := c.WriteToUDPAddrPort(make([]byte, 1000), s.Local()); err != nil {
			t.Fatal(err)
		}
	}
	in := receive(t, s)
	eventually.True(t, 10*time.Second, "the packets to be read or lost", func() bool { return uint64(in.count())+s.Overflows() == n })
	if s.Overflows() == 0 {
		t.Error("none were lost: the test shows nothing")
	}
}

// An error that the network reports, here that nobody has the port, comes out of a read; the next reads go on.
func TestNetworkErrors(t *testing.T) {
	s, c := open(t, loopback()), newClient(t, loopback())
	s.port.with(func(fd int) {
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1); err != nil { // as if that were the default
			t.Error(err)
		}
	})
	in := receive(t, s)
	closed := newClient(t, loopback())
	_ = closed.Close()
	for round := range 3 {
		errs := func() uint64 { return s.In().Errors + s.Out().Errors }
		before := errs()
		eventually.True(t, 10*time.Second, "an error", func() bool {
			_, _ = s.WriteTo([]byte{1}, closed.addr) // again and again: the kernel says such things so often a second and no more
			return errs() > before
		})
		if _, err := c.WriteToUDPAddrPort([]byte{1}, s.Local()); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, 10*time.Second, "a packet", func() bool { return in.count() == round+1 })
	}
}

// The address of a packet is that of its sender, in the form in which it is compared.
func TestSockaddr(t *testing.T) {
	for _, text := range []string{"192.0.2.1:1", "[2001:db8::1]:65535", "[::ffff:192.0.2.1]:7"} {
		want := netip.MustParseAddrPort(text)
		var s sockaddr
		s.set(want, want.Addr().Is6())
		if got := s.get(); got != unmap(want) {
			t.Errorf("%v became %v", want, got)
		}
	}
	if got := (&sockaddr{}).get(); got.IsValid() {
		t.Errorf("no address became %v", got)
	}
}
