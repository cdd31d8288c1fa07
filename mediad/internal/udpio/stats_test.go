package udpio

import (
	"net"
	"net/netip"
	"testing"
)

// TestStatsAreExact: what a stranger sends and what is written counts to the byte, though nobody has a session.
func TestStatsAreExact(t *testing.T) {
	m := listen(t)
	stranger, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.Addrs()[0].Addr(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	var sent uint64
	for _, size := range []int{1, 200, 1400} {
		if _, err := stranger.WriteToUDPAddrPort(make([]byte, size), m.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
		sent += uint64(size)
	}
	eventually(t, "the packets", func() bool { st := m.Stats(); return st.PacketsIn == 3 && st.BytesIn == sent })

	to := stranger.LocalAddr().(*net.UDPAddr)
	conn, err := m.GetConn("client", net.UDPAddrFromAddrPort(m.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.WriteTo(make([]byte, 700), to); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteTo(make([]byte, 66_000), to); err == nil {
		t.Error("a packet that fits into no UDP packet was taken")
	}
	st := m.Stats()
	if st.PacketsOut != 1 || st.BytesOut != 700 || st.SendErrors != 1 {
		t.Errorf("%+v after one packet of 700 bytes and one that is too large", st)
	}
	for _, reason := range []Drop{Replayed, TooManySources} {
		if n, there := st.Drops[reason.String()]; !there || n != 0 {
			t.Errorf("%s: %d, %v", reason, n, there)
		}
	}
}
