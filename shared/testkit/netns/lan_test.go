package netns

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reaches reports whether a connection from a station to an address comes about.
func reaches(t *testing.T, s *Station, to netip.AddrPort) bool {
	t.Helper()
	return s.Command(t.Context(), "timeout", "0.5", "bash", "-c", "exec 3<>/dev/tcp/$0/$1", to.Addr().String(), portOf(to)).Run() == nil
}

func portOf(a netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// serve listens on an address of this process until the test ends.
func serve(t *testing.T, host netip.Addr) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// datagrams counts what comes of so many that a station sends.
func datagrams(t *testing.T, from *Station, to netip.Addr, n int) (got int) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	out, err := from.Command(t.Context(), "bash", "-c", "for i in $(seq $2); do echo >/dev/udp/$0/$1; done",
		to.String(), portOf(port), strconv.Itoa(n)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	buf := make([]byte, 64)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // all are on the same machine, and have been sent
		if _, _, err := conn.ReadFromUDP(buf); err != nil {
			return got
		}
		got++
	}
}

func TestLAN(t *testing.T) {
	var made string
	t.Run("flows are cut and healed", func(t *testing.T) {
		l := NewLAN(t)
		made = l.net.tag
		a, b := l.Station(), l.Station()
		one, two := serve(t, l.Host), serve(t, l.Host)
		if !reaches(t, a, one) || !reaches(t, b, one) || !reaches(t, a, two) {
			t.Fatal("no connection before any fault")
		}
		port := l.Cut(Flow{A: a.Addr, B: l.Host, Port: one.Port()})
		if reaches(t, a, one) || !reaches(t, a, two) || !reaches(t, b, one) {
			t.Error("not that port of that station alone is cut")
		}
		all := l.Cut(Flow{A: l.Host, B: b.Addr})
		if reaches(t, b, one) || reaches(t, a, one) || !reaches(t, a, two) {
			t.Error("two faults do not add up")
		}
		port.Heal()
		all.Heal()
		all.Heal()
		if !reaches(t, a, one) || !reaches(t, b, one) {
			t.Error("not healed")
		}
		some := l.Lose(30, Flow{A: a.Addr, B: l.Host})
		defer some.Heal()
		if got := datagrams(t, a, l.Host, 400); got < 200 || got > 340 {
			t.Errorf("%d of 400 datagrams came, 280 were to be expected", got)
		}
	})
	if left := append(interfaces(made), namespaces(netnsMark+strings.TrimPrefix(made, linkMark))...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
