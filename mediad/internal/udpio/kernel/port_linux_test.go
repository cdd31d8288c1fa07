package kernel

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weever/shared/eventually"
)

// What watches the socket is told of what arrives, not of what has left: a node that sends a thousand packets for each that it gets must not be
// woken by each of them. An epoll instance is told here what Go's poller would be.
func TestWokenByArrivalsAlone(t *testing.T) {
	s, c := open(t, loopback()), newClient(t, loopback())
	poller, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(poller) }()
	if err := s.port.arrived.Control(func(fd uintptr) {
		all := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&(1<<32-1)}
		err = unix.EpollCtl(poller, unix.EPOLL_CTL_ADD, int(fd), &all)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	told := func(patience time.Duration) bool {
		var events [1]unix.EpollEvent
		n, err := unix.EpollWait(poller, events[:], int(patience.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
		return n > 0
	}
	b, d := NewBatch(), NewDestination(s, c.addr)
	for i := range 200 {
		add(b, d, 1000, 0, i)
		b.Flush()
		if _, err := s.WriteTo(filled(10, 0, i), c.addr); err != nil {
			t.Fatal(err)
		}
		c.expect(t, s, filled(1000, 0, i))
		c.expect(t, s, filled(10, 0, i))
		if told(0) {
			t.Fatal("told of a packet that has left")
		}
	}
	for range 3 { // each anew, though nobody has read the one before
		if _, err := c.WriteToUDPAddrPort([]byte{1}, s.Local()); err != nil {
			t.Fatal(err)
		}
		if !told(10 * time.Second) {
			t.Fatal("not told of a packet that has arrived")
		}
	}
}

// Who waits for packets looks when it is told to.
func TestPollMakesItLook(t *testing.T) {
	s := open(t, loopback())
	var looks atomic.Int64
	r := newReceiver(s, func([]Packet) {})
	look := r.look
	r.look = func(fd uintptr) bool {
		looks.Add(1)
		return look(fd)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := s.read(r); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}()
	for n := int64(1); n < 20; n++ {
		eventually.True(t, 10*time.Second, "a look", func() bool { return looks.Load() >= n })
		s.Poll()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-over
}

// Packets that leave by themselves wait for room as a batch does, without a thread for each, and are released when the socket is closed, which
// frees the port.
func TestWriteToWaits(t *testing.T) {
	apart(t, func(t *testing.T) {
		run(t, "tc qdisc add dev lo root tbf rate 1kbit burst 2kb limit 16mb")
		s, c := open(t, loopback()), newClient(t, loopback())
		s.SetBuffers(5_000)
		const writers = 100
		done, before := make(chan error, writers), threads(t)
		for range writers {
			go func() {
				var err error
				for err == nil {
					_, err = s.WriteTo(make([]byte, 1200), c.addr)
				}
				done <- err
			}()
		}
		eventually.True(t, 10*time.Second, "no more room", func() bool {
			if s.port.waiting.TryLock() {
				s.port.waiting.Unlock()
				return false
			}
			return true
		})
		used := cpu(t)
		<-time.After(200 * time.Millisecond)
		if used = cpu(t) - used; used > 100*time.Millisecond {
			t.Errorf("%d goroutines that wait for room use the processor for %v of 200 ms", writers, used)
		}
		if n := threads(t) - before; n > 20 {
			t.Errorf("%d goroutines that wait for room take %d threads", writers, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Listen(s.Local()) // nobody who waited holds the port any more
		if err != nil {
			t.Fatal(err)
		}
		_ = again.Close()
		for range writers {
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
	})
}

// threads is how many the process has.
func threads(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// cpu is the time that the process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
func TestWriteToDoesNotAllocate(t *testing.T) {
	for name, addr := range families() {
		s, c := open(t, addr), newClient(t, addr)
		packet := filled(100, 0, 0)
		if n := testing.AllocsPerRun(100, func() { _, _ = s.WriteTo(packet, c.addr) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
