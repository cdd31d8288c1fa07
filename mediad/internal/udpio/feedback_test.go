package udpio

import (
	"bytes"
	"testing"
	"time"

	"weever/mediad/internal/udpio/kernel"
	"weever/mediad/internal/udpio/peek"
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
	p.Intercept(func(packet []byte) { taken <- bytes.Clone(packet) })
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
	p.Intercept(nil)
	other.send(rtcp(6))
	if got := a.skip(); !bytes.Equal(got, rtcp(6)) {
		t.Fatalf("pion got % x", got)
	}
	if len(taken) != 0 {
		t.Errorf("taken: % x", <-taken)
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
	p.Intercept(func([]byte) { taken++ })
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
	p.Intercept(func(packet []byte) {
		_, _ = p.Write(packet)
		a.write(client, dtls(1))
		_ = a.Close()
		p.Intercept(nil)
		close(done)
	})
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
