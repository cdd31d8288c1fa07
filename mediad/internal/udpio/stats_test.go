package udpio

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weever/shared/eventually"
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
	eventually.True(t, 10*time.Second, "the packets", func() bool {
		st := m.Stats()
		return st.PacketsIn == 3 && st.BytesIn == sent && m.Drops(UnknownSource) == 3
	})

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
	if st.PacketsOut != 1 || st.BytesOut != 700 || st.Messages != 1 || st.Sends != 1 || st.SendErrors != 1 {
		t.Errorf("%+v after one packet of 700 bytes and one that is too large", st)
	}
	if st.MessagesIn == 0 || st.MessagesIn > 3 || st.Reads == 0 || st.Reads > st.MessagesIn || st.ReadErrors != 0 {
		t.Errorf("%+v after three packets", st)
	}
	for reason := range numDrops {
		want := uint64(0)
		if reason == UnknownSource {
			want = 3
		}
		if n, there := st.Drops[reason.String()]; !there || n != want || m.Drops(reason) != want {
			t.Errorf("%s: %d, %v", reason, n, there)
		}
	}
	if len(st.Drops) != int(numDrops) {
		t.Errorf("two reasons have one name: %v", st.Drops)
	}
}

// What the log says of the kernel's room.
func TestTell(t *testing.T) {
	for name, c := range map[string]struct {
		receive, send int
		want          string
	}{
		"all that was asked": {socketBuffer, socketBuffer, "level=INFO"},
		"half":               {socketBuffer / 2, socketBuffer, "level=INFO"},
		"little to receive":  {212_992, socketBuffer, "level=WARN"},
		"little to send":     {socketBuffer, 212_992, "level=WARN"},
		"not known":          {},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			tell(slog.New(slog.NewTextHandler(&out, nil)), c.receive, c.send)
			if got := out.String(); !strings.Contains(got, c.want) || c.want == "" && got != "" || c.want == "level=WARN" && !strings.Contains(got, "net.core.rmem_max") {
				t.Errorf("%q", got)
			}
		})
	}
}
