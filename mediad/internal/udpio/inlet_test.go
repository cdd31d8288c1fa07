package udpio

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"weever/mediad/internal/udpio/kernel"
	"weever/mediad/internal/udpio/peek"
	"weever/shared/eventually"
)

// Every packet goes to whom it is for, on every address of the port, or is counted by why it is nobody's.
func TestRouting(t *testing.T) {
	m := listen(t)
	for _, local := range m.Addrs() {
		t.Run(local.Addr().String(), func(t *testing.T) {
			var agents [3]*agent
			var peers [3]*peer
			for i := range agents {
				conn, err := m.GetConn(string(rune('a'+i)), net.UDPAddrFromAddrPort(local))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				agents[i] = &agent{tb: t, PacketConn: conn, rw: conn.(*handle)}
				c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local.Addr(), 0)))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				peers[i] = &peer{tb: t, UDPConn: c, addr: unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()), to: local}
			}
			for i, a := range agents { // a check finds its session by name, from wherever it comes
				for _, p := range peers {
					c := check(string(rune('a' + i)))
					p.send(c)
					a.expect(p, c)
				}
			}
			for i, a := range agents { // an answer makes its address the session's
				c := check(string(rune('a' + i)))
				a.write(peers[i], answer(c))
				peers[i].expect(answer(c))
			}
			words := peek.Indication()
			for i, a := range agents {
				for _, packet := range [][]byte{media(i), rtcp(i), dtls(i), answer(check("x")), words[:], {}} {
					peers[i].send(packet)
					a.expect(peers[i], packet)
				}
				next := (i + 1) % len(peers) // another session's address can still ask
				c := check(string(rune('a' + i)))
				peers[next].send(c)
				a.expect(peers[next], c)
			}
		})
	}
	leftovers(t, m)
}

func TestUnknown(t *testing.T) {
	m := listen(t)
	a, known, stranger := join(t, m, m, "name"), newPeer(t, m), newPeer(t, m)
	a.write(known, dtls(0))
	words := peek.Indication()
	for name, c := range map[string]struct {
		packet []byte
		want   Drop
	}{
		"media":                    {media(1), UnknownSource},
		"DTLS":                     {dtls(1), UnknownSource},
		"feedback":                 {rtcp(1), UnknownSource},
		"nothing":                  {[]byte{}, UnknownSource},
		"a check for nobody":       {check("nobody"), UnknownCheck},
		"a check without a name":   {stun.MustBuild(stun.BindingRequest, stun.TransactionID).Raw, UnknownCheck},
		"a check that is cut off":  {check("name")[:30], UnknownCheck},
		"an answer to nothing":     {answer(check("name")), UnknownCheck},
		"an indication":            {words[:], UnknownCheck},
		"a request that is not so": {stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.TransactionID, stun.NewUsername("name:x")).Raw, UnknownCheck},
	} {
		t.Run(name, func(t *testing.T) {
			before := m.Drops(c.want)
			stranger.send(c.packet)
			eventually.True(t, 10*time.Second, "the drop", func() bool { return m.Drops(c.want) == before+1 })
		})
	}
	known.send(media(0)) // and nothing of that came before
	a.expect(known, media(0))
	if st := m.Stats(); st.Drops["stun_unknown"] != 6 || st.Drops["source_unknown"] != 4 || st.Drops["queue_full"] != 0 {
		t.Errorf("%+v", st.Drops)
	}
}

// A session's packets stay its own, whatever others make their sessions write and wherever they say that they are. Who really is at
// the address gets it.
func TestStolenAddress(t *testing.T) {
	m := listen(t)
	alice, mallory, phone, thief := join(t, m, m, "alice"), join(t, m, m, "mallory"), newPeer(t, m), newPeer(t, m)
	alice.write(phone, dtls(0))
	still := func() {
		t.Helper()
		phone.send(media(1), dtls(1))
		alice.expect(phone, media(1))
		alice.expect(phone, dtls(1))
	}
	still()
	ours := check("theirs")
	mallory.write(phone, ours)                     // she named the phone's address as a candidate
	mallory.write(phone, answer(check("mallory"))) // her check came from there, as far as one can see
	mallory.write(phone, dtls(2))
	still()
	thief.send(answer(ours)) // from elsewhere
	forged := answer(check("theirs"))
	phone.send(forged) // as if from the phone, but who forges it does not know what the check was
	alice.expect(phone, forged)
	still()
	thief.send(check("alice")) // her name is known; that gives no address either
	eventually.True(t, 10*time.Second, "the drop", func() bool { return m.Drops(UnknownCheck) == 1 })
	thief.send(media(3))
	eventually.True(t, 10*time.Second, "the drop", func() bool { return m.Drops(UnknownSource) == 1 })
	still2 := m.Drops(QueueFull)

	phone.send(answer(ours)) // alice has gone, unnoticed, and the NAT gave her port to mallory
	mallory.expect(phone, answer(ours))
	phone.send(media(4))
	mallory.expect(phone, media(4))
	if still2 != 0 {
		t.Error("a queue is full")
	}
	_ = alice.Close()
	phone.send(media(5))
	mallory.expect(phone, media(5))
}

// garbage is what strangers send: noise, noise that looks like something, and checks for nobody.
func garbage(rng *rand.Rand) []byte {
	b := make([]byte, rng.IntN(1400))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	switch rng.IntN(4) {
	case 0:
		return check("nobody")
	case 1:
		if len(b) >= 20 {
			b[0] = 0
			binary.BigEndian.PutUint32(b[4:], 0x2112A442)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20)) //nolint:gosec // small
		}
	case 2:
		if len(b) > 2 {
			b[0], b[1] = 0x80, 96
		}
	}
	return b
}

// A flood of garbage is counted and leaves nothing behind; who is there goes on.
func TestGarbage(t *testing.T) {
	m := listen(t)
	a, p := join(t, m, m, "name"), newPeer(t, m)
	a.write(p, dtls(0))
	p.expect(dtls(0))
	rng := rand.New(rand.NewPCG(5, 6))
	kinds := make([][]byte, 500)
	for i := range kinds {
		kinds[i] = garbage(rng)
	}
	strangers := make([]*peer, 20)
	for i := range strangers {
		strangers[i] = newPeer(t, m)
	}
	dropped := func() uint64 {
		return m.Drops(UnknownCheck) + m.Drops(UnknownSource) + m.Drops(Oversized) + m.Drops(KernelBufferFull)
	}
	heap := func() uint64 {
		runtime.GC()
		var st runtime.MemStats
		runtime.ReadMemStats(&st)
		return st.HeapAlloc
	}
	var before uint64
	const rounds, each = 100, 20
	for r := range rounds {
		for i, s := range strangers {
			for k := range each {
				s.send(kinds[(r*7+i*each+k)%len(kinds)])
			}
		}
		p.send(media(r))
		a.expect(p, media(r))
		if r == rounds/10 {
			before = heap()
		}
	}
	sent := uint64(rounds * each * len(strangers))
	eventually.True(t, 10*time.Second, "the drops", func() bool { return dropped() == sent })
	if n := m.Drops(KernelBufferFull); n > sent/100 {
		t.Errorf("%d of %d packets were not read in time", n, sent)
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if n := m.inlets[0].routes.Len(); n != 1 {
		t.Errorf("%d addresses are remembered", n)
	}
}

// A packet that comes, and one that goes, cost no allocation.
func TestPacketsAllocateNothing(t *testing.T) {
	m := listen(t)
	path := m.Path()
	a, p := join(t, m, path, "name"), newPeer(t, m)
	a.write(p, dtls(0))
	path.InterceptFeedback(takes(func([]byte) {}))
	in := m.inlets[0] // its goroutine has nothing to do here
	report := []kernel.Packet{{Data: rtcp(1), From: p.addr}}
	unknown := []kernel.Packet{
		{Data: media(1), From: netip.MustParseAddrPort("192.0.2.1:1")},
		{Data: check("nobody"), From: netip.MustParseAddrPort("192.0.2.1:1")},
	}
	in.receive(report)
	if n := testing.AllocsPerRun(100, func() {
		in.receive(report)
		in.receive(unknown)
		_, _ = a.rw.WriteToAddrPort(report[0].Data, p.addr)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPort: whatever arrives, in whatever order, while sessions write, read, come and go, nothing panics, what waits is bounded, and
// nothing is left when all have gone.
func FuzzPort(f *testing.F) {
	f.Add([]byte{0, 0, 10, 1, 0, 10, 2, 1, 5, 3, 0, 5, 4, 1, 0})
	f.Add(append([]byte{0, 1, 60}, check("a")...))
	f.Fuzz(func(t *testing.T, script []byte) {
		m := listen(t)
		in := m.inlets[0] // its goroutine has nothing to do here
		path := m.Path()
		agents := map[byte]*agent{}
		sink := newPeer(t, m)
		addrs := [4]netip.AddrPort{sink.addr, newPeer(t, m).addr, newPeer(t, m).addr, netip.MustParseAddrPort("192.0.2.1:1")}
		next := func(n int) []byte {
			n = min(n, len(script))
			b := script[:n]
			script = script[n:]
			return b
		}
		var latest peek.ID
		for len(script) >= 3 {
			op := next(3)
			who, addr, packet := op[1]%3, addrs[op[1]%4], next(int(op[2]))
			switch op[0] % 8 {
			case 0, 1:
				in.receive([]kernel.Packet{{Data: packet, From: addr}, {Data: check(string(rune('a' + who))), From: addr}})
			case 2: // an answer to the latest check
				in.receive([]kernel.Packet{{Data: respond(latest), From: addr}})
			case 3, 4:
				if a := agents[who]; a != nil && addr != addrs[3] {
					_, _ = a.rw.WriteToAddrPort(packet, addr)
					c := check("theirs")
					latest = peek.IDOf(c)
					_, _ = a.rw.WriteToAddrPort(c, addr)
				}
			case 5:
				if a := agents[who]; a != nil {
					_ = a.Close()
					agents[who] = nil
				} else {
					agents[who] = join(t, m, path, string(rune('a'+who)))
				}
			case 6:
				if len(packet) == 0 {
					path.Release()
				} else {
					path.InterceptFeedback(takes(func([]byte) {}))
				}
			case 7:
				m.RemoveConnByUfrag(string(rune('a' + who)))
			}
			if n := in.routes.Len(); n > len(addrs) {
				t.Fatalf("%d addresses are remembered", n)
			}
		}
		for _, a := range agents {
			if a != nil {
				_ = a.Close()
			}
		}
		leftovers(t, m)
	})
}

// respond makes the answer to a check.
func respond(id peek.ID) []byte {
	return stun.MustBuild(stun.NewTransactionIDSetter(id), stun.BindingSuccess).Raw
}
