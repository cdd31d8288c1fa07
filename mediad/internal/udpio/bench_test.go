package udpio

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/pion/ice/v4"

	"weever/mediad/internal/pionlog"
	"weever/mediad/internal/udpio/kernel"
)

// BenchmarkInlet is what a packet costs between the kernel and the one who reads it, in batches of 32.
func BenchmarkInlet(b *testing.B) {
	m := listen(b)
	path := m.Path()
	a, p := join(b, m, path, "name"), newPeer(b, m)
	a.write(p, dtls(0))
	in := m.inlets[0] // its goroutine has nothing to do here
	stranger := netip.MustParseAddrPort("192.0.2.1:1")
	noise := garbage(rand.New(rand.NewPCG(7, 8)))
	for _, c := range []struct {
		name   string
		packet kernel.Packet
		reads  bool
		take   func([]byte)
	}{
		{name: "media", packet: kernel.Packet{Data: media(1), From: p.addr}, reads: true},
		{name: "intercepted feedback", packet: kernel.Packet{Data: rtcp(1), From: p.addr}, take: func([]byte) {}},
		{name: "a stranger's media", packet: kernel.Packet{Data: media(1), From: stranger}},
		{name: "a stranger's check", packet: kernel.Packet{Data: check("nobodynobodynobo"), From: stranger}},
		{name: "noise", packet: kernel.Packet{Data: noise, From: stranger}},
	} {
		b.Run(c.name, func(b *testing.B) {
			batch := make([]kernel.Packet, 32)
			for i := range batch {
				batch[i] = c.packet
			}
			path.Release()
			if c.take != nil {
				path.InterceptFeedback(takes(c.take))
			}
			b.ReportAllocs()
			for b.Loop() {
				in.receive(batch)
				for range batch {
					if c.reads {
						if _, _, err := a.rw.ReadFromAddrPort(a.buf[:]); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/packet")
		})
	}
}

// BenchmarkConn is bursts that arrive from the network and are read by an agent, which waits for them, against pion's own mux.
func BenchmarkConn(b *testing.B) {
	const burst = 16
	for name, listen := range map[string]func(b *testing.B) ice.UDPMux{
		"ours": func(b *testing.B) ice.UDPMux { return listen(b) },
		"pion's": func(b *testing.B) ice.UDPMux {
			c := newPeer(b, listen(b))
			return ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: c.UDPConn, Logger: pionlog.New(slog.New(slog.DiscardHandler)).NewLogger("udp")})
		},
	} {
		b.Run(name, func(b *testing.B) {
			m := listen(b)
			defer m.Close()
			to := m.GetListenAddresses()[0]
			conn, err := m.GetConn("name", to)
			if err != nil {
				b.Fatal(err)
			}
			s, err := kernel.Listen(netip.AddrPortFrom(to.(*net.UDPAddr).AddrPort().Addr(), 0))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			rw := conn.(ice.AddrPortReaderWriter)
			if _, err := rw.WriteToAddrPort(dtls(0), s.Local()); err != nil {
				b.Fatal(err)
			}
			batch, d := kernel.NewBatch(), kernel.NewDestination(s, to.(*net.UDPAddr).AddrPort())
			read := make(chan struct{}, 1000)
			go func() {
				defer close(read)
				buf := make([]byte, maxPacket)
				for {
					if _, _, err := rw.ReadFromAddrPort(buf); err != nil {
						return
					}
					read <- struct{}{}
				}
			}()
			packet := media(0)
			b.ReportAllocs()
			for b.Loop() {
				for range burst {
					batch.Commit(copy(batch.Room(len(packet)), packet), d)
				}
				batch.Flush()
				for range burst {
					<-read
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/packet")
			_ = conn.Close()
			for range read { //nolint:revive // until its end
			}
		})
	}
}
