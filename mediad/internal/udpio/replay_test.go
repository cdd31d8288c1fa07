package udpio

import (
	"net"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"weever/shared/eventually"
)

// iceAgent is one of ours that waits for a client, whose user fragment and password are "client…".
func iceAgent(t *testing.T, m *Mux) *ice.Agent {
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

// authentic is an authentic request to an agent.
func authentic(t *testing.T, a *ice.Agent) []byte {
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
	a := iceAgent(t, m)
	captured := authentic(t, a)
	first := from(t, m, captured)
	eventually.True(t, 10*time.Second, "a candidate", func() bool { return candidates(t, a) == 1 })
	const n = 200
	for i := range uint64(n) {
		from(t, m, captured)
		if i%50 == 49 { // no more of strangers' wait than 64
			eventually.True(t, 10*time.Second, "the drops", func() bool { return m.Drops(Replayed) == i+1 })
		}
	}
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
	const most = 32 // see package sources
	m := listen(t)
	a := iceAgent(t, m)
	ufrag, _, err := a.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	for range most {
		from(t, m, stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":clientclient"),
			stun.NewShortTermIntegrity("a guess"), stun.Fingerprint).Raw)
	}
	const more = 50
	for range most {
		from(t, m, authentic(t, a))
	}
	eventually.True(t, 10*time.Second, "the candidates", func() bool { return candidates(t, a) == most })
	for range more {
		from(t, m, authentic(t, a))
	}
	eventually.True(t, 10*time.Second, "the drops", func() bool { return m.Drops(TooManySources) == more })
	if got := candidates(t, a); got != most {
		t.Errorf("%d candidates, want %d", got, most)
	}
	if err := a.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	leftovers(t, m)
}
