package netns

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weever/shared/testkit/netns/line"
	"weever/shared/testkit/proc"
)

// echoEnv makes the test binary send back each datagram that comes to an address.
const echoEnv = "WEEVER_TEST_ECHO"

func TestMain(m *testing.M) {
	if at := os.Getenv(echoEnv); at != "" {
		serveEcho(at)
		return
	}
	goleak.VerifyTestMain(m)
}

// serveEcho runs until the process is killed.
func serveEcho(at string) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		panic(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	_, _ = os.Stdout.WriteString("ready\n")
	buf := make([]byte, maxFrame)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			panic(err)
		}
		_, _ = conn.WriteToUDPAddrPort(buf[:n], from)
	}
}

// echoAt runs an echo on a station until the test ends.
func echoAt(t *testing.T, s *Station) netip.AddrPort {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(s.Addr, 7)
	cmd := s.Command(context.WithoutCancel(t.Context()), self)
	cmd.Env = append(os.Environ(), echoEnv+"="+at.String())
	p := proc.New(t, "echo")
	t.Cleanup(p.Stop)
	if err := p.Run(cmd, "ready", proc.StartLimit); err != nil {
		t.Fatal(err)
	}
	return at
}

// flight is what came back of datagrams that were numbered from 0.
type flight struct {
	order []int           // of their return
	took  []time.Duration // by number; 0: it did not return
}

// fly sends n datagrams, so many at a time every millisecond, and returns when nothing has come back for a while.
func fly(t *testing.T, to netip.AddrPort, n, atATime int) (f flight) {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	f.took = make([]time.Duration, n)
	began := time.Now()
	landed := make(chan struct{})
	go func() {
		defer close(landed)
		buf := make([]byte, maxFrame)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			size, err := conn.Read(buf)
			if err != nil || size != 200 {
				return
			}
			i := int(binary.BigEndian.Uint32(buf))
			f.order = append(f.order, i)
			f.took[i] = time.Since(began) - time.Duration(binary.BigEndian.Uint64(buf[4:])) //nolint:gosec // our own
		}
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	packet := make([]byte, 200)
	for i := 0; i < n; {
		<-tick.C
		for range min(atATime, n-i) {
			binary.BigEndian.PutUint32(packet, uint32(i))                                   //nolint:gosec // small
			binary.BigEndian.PutUint64(packet[4:], uint64(time.Since(began).Nanoseconds())) //nolint:gosec // positive
			if _, err := conn.Write(packet); err != nil {
				t.Error(err)
			}
			i++
		}
	}
	<-landed
	_ = conn.Close()
	return f
}

// typical is the median of the times that datagrams took.
func (f flight) typical() time.Duration {
	var took []time.Duration
	for _, d := range f.took {
		if d > 0 {
			took = append(took, d)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// A line delays as it is told, loses as it is told and nothing else, keeps the order, and is gone in the end.
func TestLine(t *testing.T) {
	var made string
	t.Run("weather", func(t *testing.T) {
		l := NewLAN(t)
		made = l.net.tag
		near := echoAt(t, l.Station())
		s, far := l.FarStation(1)
		at := echoAt(t, s)
		base := fly(t, at, 200, 1).typical()
		t.Logf("in fine weather %v, on a cable %v", base, fly(t, near, 200, 1).typical())

		far.Set(line.ToStation, line.Weather{Delay: 30 * time.Millisecond})
		far.Set(line.FromStation, line.Weather{Delay: 10 * time.Millisecond})
		f := fly(t, at, 400, 1)
		t.Logf("40 ms: %v", f.typical())
		if got := f.typical(); got < 39*time.Millisecond || got > 44*time.Millisecond+base {
			t.Errorf("a way of 40 ms takes %v, without delay %v", got, base)
		}
		if len(f.order) != 400 || !slices.IsSorted(f.order) {
			t.Errorf("%d of 400 came back, in order: %v", len(f.order), slices.IsSorted(f.order))
		}

		before := far.Stats(line.ToStation)
		far.Set(line.ToStation, line.Weather{Loss: 0.1})
		far.Set(line.FromStation, line.Weather{})
		f = fly(t, at, 4000, 4)
		there := far.Stats(line.ToStation)
		lost := int(there.Lost - before.Lost) //nolint:gosec // small
		if got := 4000 - len(f.order); got != lost || lost < 320 || lost > 480 {
			t.Errorf("%d did not come back, the line has lost %d, 400 were to be expected", got, lost)
		}
		if back := far.Stats(line.FromStation); back.Lost+back.Dropped+there.Dropped > 0 {
			t.Errorf("losses that nobody asked for: %+v, %+v", there, back)
		}

		odd := line.Weather{Judge: func(packet []byte, _ bool) bool { return packet[ipHeader+udpHeader+3]%2 == 1 }}
		far.Set(line.ToStation, odd)
		if f = fly(t, at, 100, 1); len(f.order) != 50 || slices.ContainsFunc(f.order, func(i int) bool { return i%2 == 1 }) {
			t.Errorf("came back: %v", f.order)
		}
	})
	if left := append(interfaces(made), namespaces(netnsMark+strings.TrimPrefix(made, linkMark))...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What one seed loses it loses again.
func TestLineSeeds(t *testing.T) {
	lost := func(seed uint64) (all []bool) {
		l := NewLAN(t)
		s, far := l.FarStation(seed)
		at := echoAt(t, s)
		var mu sync.Mutex
		far.Set(line.ToStation, line.Weather{Loss: 0.5, Judge: func(_ []byte, lost bool) bool {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, lost)
			return lost
		}})
		fly(t, at, 100, 1)
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
	a, b, c := lost(1), lost(1), lost(2)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Errorf("seeds 1, 1 and 2 lose\n%v\n%v\n%v", a, b, c)
	}
}

// A line carries tens of thousands of packets a second and loses none of them by itself.
func TestLineIsWide(t *testing.T) {
	l := NewLAN(t)
	s, far := l.FarStation(1)
	at := echoAt(t, s)
	fly(t, at, 1, 1) // from here on the kernel knows where the station is, and keeps nothing back while it asks
	for _, w := range []line.Way{line.ToStation, line.FromStation} {
		far.Set(w, line.Weather{Delay: 20 * time.Millisecond})
	}
	const n = 20_000
	began := time.Now()
	f := fly(t, at, n, 25)
	there, back := far.Stats(line.ToStation), far.Stats(line.FromStation)
	t.Logf("%d of %d datagrams came back in %v, a way took %v: %+v, %+v", len(f.order), n, time.Since(began), f.typical()/2, there, back)
	if len(f.order) < n || there.Lost+back.Lost > 0 { // what else the kernel says on the link may be dropped
		t.Errorf("the line lost packets: %+v, %+v", there, back)
	}
	if !slices.IsSorted(f.order) {
		t.Error("packets overtook each other")
	}
}

// What a forger sends arrives from where it claims.
func TestForger(t *testing.T) {
	l := NewLAN(t)
	s := l.Station()
	f := l.Forger()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.Host, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, from := range []string{"203.0.113.7:1", s.Addr.String() + ":65535"} {
		if err := f.Send(netip.MustParseAddrPort(from), at, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, addr, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) != "hello" || addr.String() != from {
			t.Errorf("%q from %v, %v; want it from %s", buf[:n], addr, err, from)
		}
	}
	if f.Send(at, netip.MustParseAddrPort("203.0.113.7:1"), nil) == nil || f.Send(at, at, make([]byte, 1473)) == nil {
		t.Error("what cannot be sent is no error")
	}
	// An echo on a station answers the forger's victim.
	if err := f.Send(at, echoAt(t, s), []byte("echo")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, addr, err := conn.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "echo" || addr.Addr() != s.Addr {
		t.Errorf("%q from %v, %v", buf[:n], addr, err)
	}
}
