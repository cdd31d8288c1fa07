package kernel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// Whatever the sizes and however they are mixed, every destination gets its packets whole and in order.
func TestBatchArrives(t *testing.T) {
	for name, addr := range families() {
		t.Run(name, func(t *testing.T) {
			const clients, rounds = 7, 40
			s, b, rng := open(t, addr), NewBatch(), rand.New(rand.NewPCG(1, 2))
			var cs []*client
			var ds []*Destination
			for range clients {
				c := newClient(t, addr)
				cs, ds = append(cs, c), append(ds, NewDestination(s, c.addr))
			}
			sizes := [clients][]int{}
			for range rounds {
				for range 1 + rng.IntN(2*clients) { // some are served twice in a round
					to, n := rng.IntN(clients), 1+rng.IntN(1400)
					for range 1 + rng.IntN(9) {
						switch rng.IntN(5) {
						case 0:
							n = 1 + rng.IntN(1400)
						case 1:
							n = max(1, n-1)
						case 2:
							n = min(1400, n+1)
						}
						add(b, ds[to], n, to, len(sizes[to]))
						sizes[to] = append(sizes[to], n)
					}
				}
				b.Flush()
			}
			total, bytes := 0, 0
			for to, c := range cs {
				for i, n := range sizes[to] {
					c.expect(t, s, filled(n, to, i))
					bytes += n
				}
				total += len(sizes[to])
				c.nothing(t)
			}
			out := s.Out()
			if out.Packets != uint64(total) || out.Bytes != uint64(bytes) || out.Errors != 0 {
				t.Errorf("%+v after %d packets of %d bytes", out, total, bytes)
			}
			t.Logf("%d packets in %d messages by %d calls", out.Packets, out.Messages, out.Calls)
		})
	}
}

// What is joined into one message, and what not.
func TestMerging(t *testing.T) {
	s := open(t, netip.MustParseAddr("127.0.0.1"))
	if !s.cuts {
		t.Fatal("this kernel does not know UDP_SEGMENT: the test needs Linux 4.18 or newer")
	}
	a, other := NewDestination(s, netip.MustParseAddrPort("127.0.0.1:9")), NewDestination(s, netip.MustParseAddrPort("127.0.0.1:10"))
	again := NewDestination(s, a.Addr)
	for name, c := range map[string]struct {
		to    []*Destination // the last one holds for the rest
		sizes []int
		want  []int // packets by message
	}{
		"equal":                        {sizes: []int{100, 100, 100}, want: []int{3}},
		"the last is shorter":          {sizes: []int{100, 100, 99, 100}, want: []int{3, 1}},
		"nothing follows a short one":  {sizes: []int{100, 50, 50}, want: []int{2, 1}},
		"a longer one":                 {sizes: []int{50, 100, 100}, want: []int{1, 2}},
		"64 packets at most":           {sizes: slices.Repeat([]int{10}, 130), want: []int{64, 64, 2}},
		"64,000 bytes at most":         {sizes: slices.Repeat([]int{1400}, 50), want: []int{45, 5}},
		"another address between":      {to: []*Destination{a, other, a}, sizes: []int{10, 10, 10, 10}, want: []int{1, 1, 2}},
		"another path to that address": {to: []*Destination{a, again}, sizes: []int{10, 10, 10}, want: []int{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			for i, n := range c.sizes {
				to := a
				if len(c.to) > 0 {
					to = c.to[min(i, len(c.to)-1)]
				}
				add(b, to, n, 0, i)
			}
			var got []int
			for _, m := range b.messages[:b.n] {
				got = append(got, m.count)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("messages of %d packets, want %d", got, c.want)
			}
		})
	}
}

// One batch serves several sockets; each packet leaves by its own.
func TestSockets(t *testing.T) {
	b := NewBatch()
	type line struct {
		s *Socket
		c *client
		d *Destination
	}
	var lines []line
	for _, addr := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		s, c := open(t, netip.MustParseAddr(addr)), newClient(t, netip.MustParseAddr(addr))
		lines = append(lines, line{s, c, NewDestination(s, c.addr)})
	}
	for i := range 9 {
		add(b, lines[i%3].d, 500, i%3, i/3)
		add(b, lines[i%3].d, 500, i%3, 10+i/3)
	}
	b.Flush()
	for to, l := range lines {
		for i := range 3 {
			l.c.expect(t, l.s, filled(500, to, i))
			l.c.expect(t, l.s, filled(500, to, 10+i))
		}
		if out := l.s.Out(); out.Packets != 6 || out.Messages != 3 || out.Calls != 1 {
			t.Errorf("%+v", out)
		}
	}
}

// A batch that is full in one way or the other goes out by itself and loses nothing.
func TestFullBatch(t *testing.T) {
	addr := netip.MustParseAddr("127.0.0.1")
	s, one, two := open(t, addr), newClient(t, addr), newClient(t, addr)
	for name, size := range map[string]int{"messages": 10, "bytes": 8000} {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			d := [2]*Destination{NewDestination(s, one.addr), NewDestination(s, two.addr)}
			const n = 3*maxMessages + 2
			for i := range n {
				add(b, d[i%2], size, i%2, i)
			}
			before := s.Out().Packets
			b.Flush()
			if s.Out().Packets == before {
				t.Error("nothing was left to flush")
			}
			for i := range n {
				[2]*client{one, two}[i%2].expect(t, s, filled(size, i%2, i))
			}
		})
	}
}

// Writers share a socket without spoiling each other's packets or their order.
func TestConcurrentBatches(t *testing.T) {
	addr := netip.MustParseAddr("127.0.0.1")
	s := open(t, addr)
	const writers, rounds = 4, 50
	var cs [writers][3]*client
	var wg sync.WaitGroup
	for w := range writers {
		var ds [3]*Destination
		for i := range ds {
			cs[w][i] = newClient(t, addr)
			ds[i] = NewDestination(s, cs[w][i].addr)
		}
		wg.Go(func() {
			b := NewBatch()
			for r := range rounds {
				for to, d := range ds {
					add(b, d, 900, 10*w+to, 2*r)
					add(b, d, 900, 10*w+to, 2*r+1)
				}
				b.Flush()
				_, _ = s.WriteTo([]byte{1}, ds[0].Addr)
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for to, c := range cs[w] {
			for r := range rounds {
				c.expect(t, s, filled(900, 10*w+to, 2*r))
				c.expect(t, s, filled(900, 10*w+to, 2*r+1))
				if to == 0 {
					c.expect(t, s, []byte{1})
				}
			}
		}
	}
	if out := s.Out(); out.Packets != writers*rounds*7 || out.Errors != 0 {
		t.Errorf("%+v", out)
	}
}

func TestBatchAllocatesNothing(t *testing.T) {
	addr := netip.MustParseAddr("127.0.0.1")
	s, c := open(t, addr), newClient(t, addr)
	b, d := NewBatch(), NewDestination(s, c.addr)
	if n := testing.AllocsPerRun(100, func() {
		for range 10 {
			b.Room(1200)
			b.Commit(1200, d)
		}
		b.Flush()
	}); n != 0 {
		t.Errorf("%v allocations for ten packets", n)
	}
}

// BenchmarkBatch is a burst to 50 viewers, against the same packets written one by one. Nobody reads them: what it costs is to send.
func BenchmarkBatch(b *testing.B) {
	const viewers = 50
	addr := netip.MustParseAddr("127.0.0.1")
	s, batch := open(b, addr), NewBatch()
	var ds []*Destination
	for range viewers {
		c := newClient(b, addr)
		if err := c.SetReadBuffer(1); err != nil {
			b.Fatal(err)
		}
		ds = append(ds, NewDestination(s, c.addr))
	}
	report := func(b *testing.B, before Counts, packets int) {
		after := s.Out()
		n := float64(after.Packets - before.Packets)
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets*viewers*b.N), "ns/packet")
		b.ReportMetric(n/float64(after.Messages-before.Messages), "packets/message")
		b.ReportMetric(n/float64(after.Calls-before.Calls), "packets/call")
	}
	for _, packets := range []int{1, 2, 6} {
		b.Run(fmt.Sprintf("%d/one by one", packets), func(b *testing.B) {
			before, buf := s.Out(), make([]byte, 1200)
			b.ReportAllocs()
			for b.Loop() {
				for _, d := range ds {
					for range packets {
						if _, err := s.WriteTo(buf, d.Addr); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			report(b, before, packets)
		})
		for name, cuts := range map[string]bool{"sendmmsg": false, "sendmmsg and GSO": true} {
			b.Run(fmt.Sprintf("%d/%s", packets, name), func(b *testing.B) {
				defer func(was bool) { s.cuts = was }(s.cuts)
				s.cuts = cuts
				before := s.Out()
				b.ReportAllocs()
				for b.Loop() {
					for _, d := range ds {
						for range packets {
							batch.Room(1200)
							batch.Commit(1200, d)
						}
					}
					batch.Flush()
				}
				report(b, before, packets)
			})
		}
	}
}
