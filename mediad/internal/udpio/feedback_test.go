package udpio

import (
	"bytes"
	"testing"
	"time"

	"weever/mediad/internal/udpio/kernel"
	"weever/mediad/internal/udpio/peek"
	"weever/shared/eventually"
)

// skip reads packets until one is not what pion hears of a peer whose packets it does not get.
func (a *agent) skip() []byte {
	a.tb.Helper()
	for {
		n, _, err := a.rw.ReadFromAddrPort(a.buf[:])
		if err != nil {
			a.tb.Fatal(err)
		}
		if words := peek.Indication(); !bytes.Equal(a.buf[:n], words[:]) {
			return a.buf[:n]
		}
	}
}

// The peer's SRTCP goes to who asked for it, everything else and everybody else's to pion.
func TestIntercept(t *testing.T) {
	m := listen(t)
	p := m.Path()
	a, client, other := join(t, m, p, "ours"), newPeer(t, m), newPeer(t, m)
	a.write(other, dtls(0))
	a.write(client, dtls(0)) // the path is where pion wrote last
	taken := make(chan []byte, 10)
	p.InterceptFeedback(takes(func(packet []byte) { taken <- bytes.Clone(packet) }))
	for i := range 3 {
		client.send(rtcp(i))
		if got := <-taken; !bytes.Equal(got, rtcp(i)) {
			t.Fatalf("taken: % x", got)
		}
	}
	short := []byte{0x80, 201}
	for _, c := range []struct {
		from   *peer
		packet []byte
	}{{client, media(1)}, {client, dtls(1)}, {client, short}, {client, check("ours")}, {other, rtcp(1)}} {
		c.from.send(c.packet)
		if got := a.skip(); !bytes.Equal(got, c.packet) {
			t.Fatalf("pion got % x instead of % x", got, c.packet)
		}
	}
	a.write(other, dtls(2)) // the path moves, and what is taken with it
	client.send(rtcp(4))
	if got := a.skip(); !bytes.Equal(got, rtcp(4)) {
		t.Fatalf("pion got % x", got)
	}
	other.send(rtcp(5))
	if got := <-taken; !bytes.Equal(got, rtcp(5)) {
		t.Fatalf("taken: % x", got)
	}
	p.Release()
	other.send(rtcp(6))
	if got := a.skip(); !bytes.Equal(got, rtcp(6)) {
		t.Fatalf("pion got % x", got)
	}
	if len(taken) != 0 {
		t.Errorf("taken: % x", <-taken)
	}
}

// burst is a Taker that keeps what it gets until it has heard that it is complete.
type burst struct {
	waiting [][]byte
	done    chan [][]byte
}

func (b *burst) Take(packet []byte) {
	b.waiting = append(b.waiting, bytes.Clone(packet))
	clear(packet) // it may be changed
}

func (b *burst) Taken() {
	b.done <- b.waiting
	b.waiting = nil
}

// TestInterceptMedia: SRTP and SRTCP of the session go to who asked for it, from whatever address of the session's; the rest goes to pion.
func TestInterceptMedia(t *testing.T) {
	m := listen(t)
	p := m.Path()
	a, client, other, stranger := join(t, m, p, "ours"), newPeer(t, m), newPeer(t, m), newPeer(t, m)
	b := &burst{done: make(chan [][]byte, 100)}
	p.InterceptMedia(b)
	a.write(other, dtls(0)) // both are addresses of the session's
	a.write(client, dtls(0))
	await := func(want ...[]byte) {
		t.Helper()
		for len(want) > 0 {
			for _, got := range <-b.done {
				if len(want) == 0 || !bytes.Equal(got, want[0]) {
					t.Fatalf("taken: % x", got[:min(len(got), 24)])
				}
				want = want[1:]
			}
		}
	}
	client.send(media(1), rtcp(2), media(3), media(4))
	await(media(1), rtcp(2), media(3), media(4))
	other.send(media(5), rtcp(6))
	await(media(5), rtcp(6))
	short, cut := []byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0}, []byte{0x80, 201, 0, 1, 0, 0, 0}
	for _, c := range []struct {
		from   *peer
		packet []byte
	}{{client, dtls(1)}, {client, short}, {client, cut}, {client, check("ours")}, {other, dtls(2)}} {
		c.from.send(c.packet)
		if got := a.skip(); !bytes.Equal(got, c.packet) {
			t.Fatalf("pion got % x instead of % x", got, c.packet)
		}
	}
	before := m.Drops(UnknownSource)
	stranger.send(media(7), rtcp(8))
	client.send(media(9))
	await(media(9))
	eventually.True(t, 5*time.Second, "the stranger's packets to be dropped", func() bool { return m.Drops(UnknownSource) == before+2 })
	p.Release()
	client.send(media(10))
	if got := a.skip(); !bytes.Equal(got, media(10)) {
		t.Fatalf("pion got % x", got[:24])
	}
	if len(b.done) != 0 {
		t.Errorf("taken in the end: %d", len(<-b.done))
	}
	if m.Drops(MediaInvalid) != 0 {
		t.Error("something was refused")
	}
	p.Refuse(MediaInvalid)
	if m.Drops(MediaInvalid) != 1 || m.Stats().Drops["srtp_invalid"] != 1 {
		t.Error("what was refused is not counted")
	}
}

// TestWhoTakesIsToldOfTheEnd: once for all that has come together, by whom it came, also when who takes is another in between.
func TestWhoTakesIsToldOfTheEnd(t *testing.T) {
	m := listen(t)
	p := m.Path()
	a, client, other := join(t, m, p, "ours"), newPeer(t, m), newPeer(t, m)
	a.write(other, dtls(0))
	a.write(client, dtls(0))
	in := m.inlets[0] // its goroutine has nothing to do here
	first, second := &burst{done: make(chan [][]byte, 10)}, &burst{done: make(chan [][]byte, 10)}
	p.InterceptMedia(first)
	packet := func(i int, from *peer) kernel.Packet { return kernel.Packet{Data: media(i), From: from.addr} }
	in.receive([]kernel.Packet{packet(1, client), packet(2, other), packet(3, client)})
	if len(first.done) != 1 || len(<-first.done) != 3 {
		t.Error("three that came together were not told as one")
	}
	in.now = time.Now()
	for i, taker := range []*burst{first, second, first} {
		p.InterceptMedia(taker)
		one := packet(i, client)
		in.sort(&one)
	}
	in.receive(nil)
	if len(first.done) != 2 || len(second.done) != 1 || len(first.waiting)+len(second.waiting) != 0 {
		t.Errorf("the end was told %d and %d times", len(first.done), len(second.done))
	}
	if len(in.taking) != 0 {
		t.Error("somebody is still taking")
	}
}

// pion hears now and then that a peer is there whose packets it does not get: often enough not to take it for deaf, seldom enough to cost
// nothing.
func TestIndications(t *testing.T) {
	m := listen(t)
	p := m.Path()
	a, client := join(t, m, p, "ours"), newPeer(t, m)
	a.write(client, dtls(0))
	taken := 0
	p.InterceptFeedback(takes(func([]byte) { taken++ }))
	in := m.inlets[0] // its goroutine has nothing to do here
	c, _ := in.routes.Owner(client.addr)
	told := 0
	for i := range 1000 { // every 10 ms
		in.now = time.Unix(1, 0).Add(time.Duration(i) * 10 * time.Millisecond)
		in.sort(&kernel.Packet{Data: rtcp(i), From: client.addr})
		if len(in.served) > 0 {
			c.box.Deliver()
			in.served = in.served[:0]
			words := peek.Indication()
			a.expect(client, words[:])
			told++
		}
	}
	if taken != 1000 || told != 50 {
		t.Errorf("%d packets were taken, pion was told %d times", taken, told)
	}
}

// What takes a packet may use the path and the port.
func TestInterceptorWrites(t *testing.T) {
	m := listen(t)
	p := m.Path()
	a, client := join(t, m, p, "ours"), newPeer(t, m)
	if _, err := p.Write(dtls(0)); err == nil {
		t.Error("a packet to nowhere was taken")
	}
	b := NewBatch()
	b.Room(100)
	if err := b.Commit(100, p); err == nil {
		t.Error("a packet to nowhere was taken into a batch")
	}
	b.Flush()
	a.write(client, dtls(0))
	client.expect(dtls(0))
	done := make(chan struct{})
	p.InterceptFeedback(takes(func(packet []byte) {
		_, _ = p.Write(packet)
		a.write(client, dtls(1))
		_ = a.Close()
		p.Release()
		close(done)
	}))
	client.send(rtcp(1))
	client.expect(rtcp(1))
	client.expect(dtls(1))
	<-done
	leftovers(t, m)

	b.Room(200)
	if err := b.Commit(copy(b.Room(200), media(2)), p); err != nil { // it is still known where the peer was
		t.Error(err)
	}
	b.Flush()
	client.expect(media(2)[:200])
	if st := m.Stats(); st.SendErrors != 0 {
		t.Errorf("%+v", st)
	}
}
