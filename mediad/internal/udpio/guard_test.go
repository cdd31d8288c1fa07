package udpio

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T) *Mux {
	t.Helper()
	m, err := Listen(Config{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("waited in vain for", what)
		}
	}
}

// agent is one of ours that waits for a client, whose user fragment and password are "client…".
func agent(t *testing.T, m *Mux) *ice.Agent {
	t.Helper()
	a, err := ice.NewAgentWithOptions(ice.WithUDPMux(m), ice.WithIncludeLoopback(), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.GracefulClose() })
	done := make(chan struct{})
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	<-done
	if _, err := a.StartAccept("clientclient", "clientclientclientclient"); err != nil {
		t.Fatal(err)
	}
	return a
}

// check is an authentic request to an agent.
func check(t *testing.T, a *ice.Agent) []byte {
	t.Helper()
	ufrag, pwd, err := a.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":clientclient"), ice.AttrControlling(1),
		ice.PriorityAttr(1), stun.NewShortTermIntegrity(pwd), stun.Fingerprint).Raw
}

// from sends a packet from a new port.
func from(t *testing.T, m *Mux, packet []byte) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "udp4", m.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	return conn
}

func candidates(t *testing.T, a *ice.Agent) int {
	t.Helper()
	cs, err := a.GetRemoteCandidates()
	if err != nil {
		t.Fatal(err)
	}
	return len(cs)
}

// One captured check makes one candidate, from however many ports it comes again. Each of them may ask anew in its own words.
func TestReplays(t *testing.T) {
	m := listen(t)
	a := agent(t, m)
	captured := check(t, a)
	first := from(t, m, captured)
	eventually(t, "a candidate", func() bool { return candidates(t, a) == 1 })
	const n = 200
	for range n {
		from(t, m, captured)
	}
	eventually(t, "the drops", func() bool { return m.Drops(Replayed) == n })
	if got := candidates(t, a); got != 1 {
		t.Errorf("%d candidates", got)
	}
	if _, err := first.Write(captured); err != nil { // a request that is sent again by the client is answered again
		t.Fatal(err)
	}
	answers := 0
	buf := make([]byte, 1500)
	for answers < 2 {
		if err := first.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		size, err := first.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if r := (&stun.Message{Raw: buf[:size]}); r.Decode() == nil && r.Type == stun.BindingSuccess {
			answers++
		}
	}
}

// Different checks from many ports make no more candidates than the table holds; checks that are not authentic take no room.
func TestSourcesAreCapped(t *testing.T) {
	m := listen(t)
	a := agent(t, m)
	ufrag, _, err := a.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * maxSources {
		from(t, m, stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":clientclient"),
			stun.NewShortTermIntegrity("a guess"), stun.Fingerprint).Raw)
	}
	const more = 50
	for range maxSources + more {
		from(t, m, check(t, a))
	}
	eventually(t, "the drops", func() bool { return m.Drops(TooManySources) == more })
	if got := candidates(t, a); got != maxSources {
		t.Errorf("%d candidates, want %d", got, maxSources)
	}
	if err := a.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sessions) != 0 {
		t.Errorf("%d sessions are remembered", len(m.sessions))
	}
}

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(1000+i)) //nolint:gosec // small
}

func id(i int) transaction { return transaction{byte(i), byte(i >> 8), 1} }

// Only an address that is silent gives way, the most silent one first, and never the one that media comes from.
func TestReplacement(t *testing.T) {
	var s sources
	now := time.Now()
	for i := range maxSources {
		s.answer(address(i), id(i), now.Add(time.Duration(i)*time.Millisecond))
	}
	s.heardMedia(address(0), now)
	if got := s.judge(address(100), id(100), now.Add(silent-time.Millisecond)); got != tooMany {
		t.Fatalf("verdict %d while all were heard lately", got)
	}
	later := now.Add(time.Hour)
	s.judge(address(1), id(101), later)
	if got := s.judge(address(100), id(100), later); got != pass {
		t.Fatalf("verdict %d", got)
	}
	s.answer(address(100), id(100), later)
	for i, known := range map[int]bool{0: true, 1: true, 2: false, 3: true, 100: true} {
		if s.find(address(i)) >= 0 != known {
			t.Errorf("address %d is known: %v", i, !known)
		}
	}
	for i := range 10 * maxAdmitted {
		later = later.Add(silent)
		if s.judge(address(200+i), id(200+i), later) == pass {
			s.answer(address(200+i), id(200+i), later)
		}
	}
	if s.admitted != maxAdmitted || len(s.known) != maxSources || s.find(address(0)) < 0 {
		t.Errorf("%d admitted, %d known", s.admitted, len(s.known))
	}
}

// memory is a connection on which the same packet arrives for ever.
type memory struct {
	net.PacketConn
	packet []byte
	from   netip.AddrPort
}

func (c *memory) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	return copy(b, c.packet), c.from, nil
}
func (c *memory) WriteToAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }

func TestMediaAllocatesNothing(t *testing.T) {
	s := &sources{}
	s.answer(address(0), id(0), time.Now())
	g := &guard{conn: &memory{packet: make([]byte, 1200), from: address(0)}, sources: s}
	buf := make([]byte, 1500)
	if n := testing.AllocsPerRun(100, func() {
		_, from, _ := g.ReadFromAddrPort(buf)
		_, _ = g.WriteToAddrPort(buf[:1200], from)
	}); n != 0 {
		t.Errorf("%v allocations for a packet in and out", n)
	}
}

func BenchmarkMedia(b *testing.B) {
	s := &sources{}
	s.answer(address(0), id(0), time.Now())
	g := &guard{conn: &memory{packet: make([]byte, 1200), from: address(0)}, sources: s}
	buf := make([]byte, 1500)
	for b.Loop() {
		_, from, _ := g.ReadFromAddrPort(buf)
		_, _ = g.WriteToAddrPort(buf[:1200], from)
	}
}
