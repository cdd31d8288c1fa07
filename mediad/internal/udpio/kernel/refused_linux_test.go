package kernel

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weever/shared/eventually"
)

func loopback() netip.Addr { return netip.MustParseAddr("127.0.0.1") }

// What the kernel does not take is counted, packet by packet, and takes nobody else with it.
func TestRefused(t *testing.T) {
	routes := map[string]string{ // what the kernel says
		"prohibit": "127.66.0.1", "unreachable": "127.66.0.2", "blackhole": "127.66.0.3", // EACCES, EHOSTUNREACH, EINVAL
	}
	for name, c := range map[string]struct {
		to    string
		sizes []int
	}{
		"a packet longer than any":     {to: "127.0.0.1:9", sizes: []int{66_000}},
		"one packet":                   {to: routes["prohibit"] + ":9", sizes: []int{100}},
		"three in one":                 {to: routes["prohibit"] + ":9", sizes: []int{100, 100, 100}},
		"several messages":             {to: routes["unreachable"] + ":9", sizes: []int{100, 200, 200, 300}},
		"three that might pass singly": {to: routes["blackhole"] + ":9", sizes: []int{100, 100, 100}},
		"no port":                      {to: "127.0.0.1:0", sizes: []int{100, 90}},
		"a network out of reach":       {to: "192.0.2.1:9", sizes: []int{100, 100}},
	} {
		t.Run(name, func(t *testing.T) {
			apart(t, func(t *testing.T) {
				for kind, addr := range routes {
					run(t, "ip route add "+kind+" "+addr+" table local")
				}
				s, before, after := open(t, loopback()), newClient(t, loopback()), newClient(t, loopback())
				b, refused := NewBatch(), NewDestination(s, netip.MustParseAddrPort(c.to))
				good := [2]*Destination{NewDestination(s, before.addr), NewDestination(s, after.addr)}
				for round := range 3 {
					for i := range 3 {
						add(b, good[0], 400, 0, 10*round+i)
					}
					for _, n := range c.sizes {
						add(b, refused, n, 1, 0)
					}
					for i := range 3 {
						add(b, good[1], 400, 1, 10*round+i)
					}
					b.Flush()
				}
				for round := range 3 {
					for i := range 3 {
						before.expect(t, s, filled(400, 0, 10*round+i))
						after.expect(t, s, filled(400, 1, 10*round+i))
					}
				}
				if out := s.Out(); out.Errors != uint64(3*len(c.sizes)) || out.Packets != 18 || out.Messages != 6 {
					t.Errorf("%+v for %d packets that were refused and 18 in 6 messages that were not", out, 3*len(c.sizes))
				}
			})
		})
	}
}

// A closed socket takes nothing, and does not hold up the others of a batch.
func TestClosed(t *testing.T) {
	shut, s, c := open(t, loopback()), open(t, loopback()), newClient(t, loopback())
	b, gone, here := NewBatch(), NewDestination(shut, c.addr), NewDestination(s, c.addr)
	if err := shut.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		add(b, gone, 100+i%2, 0, i)
		add(b, here, 100, 1, i)
	}
	b.Flush()
	for i := range 6 {
		c.expect(t, s, filled(100, 1, i))
	}
	if out := shut.Out(); out.Errors != 6 || out.Packets != 0 {
		t.Errorf("%+v", out)
	}
	if _, err := shut.WriteTo([]byte{1}, c.addr); err == nil || shut.Out().Errors != 7 {
		t.Errorf("%v, %+v", err, shut.Out())
	}
}

// Where packets are longer than the path takes in one piece, the kernel does not cut up messages: packets then go singly, and it sends
// them in fragments. Everybody else's go on being joined.
func TestSmallMTU(t *testing.T) {
	const narrow = "127.77.0.1"
	apart(t, func(t *testing.T) {
		run(t, "ip route add local "+narrow+" dev lo table local mtu lock 1280")
		s, wide, small := open(t, loopback()), newClient(t, loopback()), newClient(t, netip.MustParseAddr(narrow))
		b, d := NewBatch(), [2]*Destination{NewDestination(s, wide.addr), NewDestination(s, small.addr)}
		before := s.Out()
		for round := range 4 {
			for to := range d {
				for i := range 5 {
					add(b, d[to], 1400, to, 5*round+i)
				}
			}
			b.Flush()
		}
		for i := range 20 {
			wide.expect(t, s, filled(1400, 0, i))
			small.expect(t, s, filled(1400, 1, i))
		}
		if !d[1].whole.Load() || d[0].whole.Load() {
			t.Errorf("the destinations are known to take no messages: %v, %v", d[0].whole.Load(), d[1].whole.Load())
		}
		if out := s.Out(); out.Packets-before.Packets != 40 || out.Messages-before.Messages != 4+20 || out.Errors != 0 {
			t.Errorf("%+v", out)
		}
	})
}

// A socket that does not let the kernel make checksums cannot have messages cut up (EINVAL): every destination finds that out for itself,
// and loses nothing.
func TestCutRefused(t *testing.T) {
	s, c := open(t, loopback()), newClient(t, loopback())
	s.port.with(func(fd int) {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Error(err)
		}
	})
	b, d := NewBatch(), NewDestination(s, c.addr)
	for i := range 8 {
		add(b, d, 700, 0, i)
		if i%4 == 3 {
			b.Flush()
		}
	}
	for i := range 8 {
		c.expect(t, s, filled(700, 0, i))
	}
	if out := s.Out(); !d.whole.Load() || out.Packets != 8 || out.Messages != 8 || out.Calls != 5 || out.Errors != 0 {
		t.Errorf("%+v, no messages: %v", out, d.whole.Load())
	}
}

// Which refusals are the message's, not the packets'. EIO comes with IPsec and with devices that make no checksums.
func TestUncut(t *testing.T) {
	for errno, want := range map[syscall.Errno]bool{
		syscall.EIO: true, syscall.EINVAL: true, syscall.EMSGSIZE: true,
		syscall.EPERM: false, syscall.EACCES: false, syscall.ENETUNREACH: false, syscall.EHOSTUNREACH: false, syscall.ENOBUFS: false, syscall.ENOMEM: false,
	} {
		if uncut(errno) != want {
			t.Errorf("%v: %v", errno, !want)
		}
	}
}

// While a device is slower than what is sent, Flush waits and nothing is lost; what goes by other sockets does not wait for it.
func TestFullSocket(t *testing.T) {
	apart(t, func(t *testing.T) {
		run(t, "tc qdisc add dev lo root tbf rate 60mbit burst 20kb limit 16mb")
		slow, other, c := open(t, loopback()), open(t, loopback()), newClient(t, loopback())
		slow.SetBuffers(20_000)
		other.SetBuffers(8 << 20)
		b := NewBatch()
		d := [2]*Destination{NewDestination(slow, c.addr), NewDestination(other, c.addr)}
		waits, room := 0, b.system.room
		b.system.room = func(s *Socket) error {
			if waits++; other.Out().Packets%10 != 0 {
				t.Error("a socket with room has to wait")
			}
			return room(s)
		}
		const rounds = 20
		want := map[netip.AddrPort][]int{}
		for r := range rounds {
			for i := range 20 {
				n := 1200 - i%4 // several messages: some are taken, some not
				add(b, d[0], n, 0, 20*r+i)
				want[slow.Local()] = append(want[slow.Local()], n)
			}
			for i := range 10 {
				add(b, d[1], 300, 1, 10*r+i)
				want[other.Local()] = append(want[other.Local()], 300)
			}
			b.Flush()
		}
		if waits == 0 {
			t.Error("nothing had to wait: the test shows nothing")
		}
		got := map[netip.AddrPort]int{}
		for range 30 * rounds {
			n, from, err := c.ReadFromUDPAddrPort(c.buf[:])
			if err != nil {
				t.Error(err)
				return
			}
			from = unmap(from)
			i, to := got[from], 0
			if from == other.Local() {
				to = 1
			}
			got[from]++
			if i >= len(want[from]) || !slices.Equal(c.buf[:n], filled(want[from][i], to, i)) {
				t.Errorf("packet %d from %v is not what was sent", i, from)
				return
			}
		}
		for _, s := range []*Socket{slow, other} {
			if s.Out().Errors != 0 {
				t.Errorf("%+v", s.Out())
			}
		}
		t.Logf("%d waits", waits)
	})
}

// Who waits for room is released when the socket is closed.
func TestCloseWhileFull(t *testing.T) {
	apart(t, func(t *testing.T) {
		run(t, "tc qdisc add dev lo root tbf rate 1kbit burst 2kb limit 16mb")
		s, c := open(t, loopback()), newClient(t, loopback())
		s.SetBuffers(5_000)
		b, d := NewBatch(), NewDestination(s, c.addr)
		waiting := make(chan struct{})
		room, first := b.system.room, true
		b.system.room = func(s *Socket) error {
			if first {
				first = false
				close(waiting)
			}
			return room(s)
		}
		go func() {
			<-waiting
			_ = s.Close()
		}()
		const n = 60
		for i := range n {
			add(b, d, 1200-i, 0, i)
		}
		b.Flush()
		if out := s.Out(); out.Packets+out.Errors != n || out.Errors == 0 {
			t.Errorf("%+v of %d packets", out, n)
		}
	})
}

// Errors of reading end nothing and are counted.
func TestReceiveErrors(t *testing.T) {
	s, c := open(t, loopback()), newClient(t, loopback())
	in := receive(t, s)
	s.port.with(func(fd int) {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1); err != nil { // reads tell of what was refused
			t.Error(err)
		}
	})
	nobody := newClient(t, loopback())
	_ = nobody.Close()
	for round := range 3 {
		errs := s.In().Errors
		eventually.True(t, 10*time.Second, "errors", func() bool {
			_, _ = s.WriteTo([]byte{1}, nobody.addr)
			return s.In().Errors > errs+1
		})
		if _, err := c.WriteToUDPAddrPort([]byte{1}, s.Local()); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, 10*time.Second, "a packet", func() bool { return in.count() == round+1 })
	}
}
