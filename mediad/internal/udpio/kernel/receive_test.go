package kernel

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"weever/shared/eventually"
)

// inbox is what a socket has received.
type inbox struct {
	mu   sync.Mutex
	from map[netip.AddrPort][][]byte
	n    int
}

func (i *inbox) take(packets []Packet) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range packets {
		i.from[p.From] = append(i.from[p.From], bytes.Clone(p.Data))
		i.n++
	}
}

func (i *inbox) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.n
}

// receive reads a socket until the test ends.
func receive(t *testing.T, s *Socket) *inbox {
	t.Helper()
	in := &inbox{from: map[netip.AddrPort][][]byte{}}
	done := make(chan error)
	go func() { done <- s.Receive(in.take) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error("Receive ended with", err)
		}
	})
	return in
}

// What is sent in messages, and joined by the kernel, arrives packet by packet: whole, in order, from the right address.
func TestReceive(t *testing.T) {
	for name, addr := range families() {
		t.Run(name, func(t *testing.T) {
			r := open(t, addr)
			r.SetBuffers(8 << 20)
			in := receive(t, r)
			rng := rand.New(rand.NewPCG(3, 4))
			total := 0
			var senders [3]*Socket
			var sizes [3][]int
			var wg sync.WaitGroup
			for i := range senders {
				s, b := open(t, addr), NewBatch()
				d := NewDestination(s, r.Local())
				senders[i] = s
				for range 60 {
					n := 1 + rng.IntN(1400)
					for range 1 + rng.IntN(12) {
						sizes[i] = append(sizes[i], n)
					}
					sizes[i] = append(sizes[i], 1+rng.IntN(n))
				}
				total += len(sizes[i])
				wg.Go(func() {
					for k, n := range sizes[i] {
						add(b, d, n, i, k)
						if k%40 == 39 {
							b.Flush()
						}
					}
					b.Flush()
				})
			}
			wg.Wait()
			eventually.True(t, 10*time.Second, "all packets", func() bool { return in.count() == total })
			for i, s := range senders {
				got := in.from[s.Local()]
				if len(got) != len(sizes[i]) {
					t.Fatalf("%d packets from %v, want %d", len(got), s.Local(), len(sizes[i]))
				}
				for k, n := range sizes[i] {
					if !slices.Equal(got[k], filled(n, i, k)) {
						t.Fatalf("packet %d of %d bytes came as one of %d", k, n, len(got[k]))
					}
				}
			}
			c := r.In()
			if c.Packets != uint64(total) || c.Errors != 0 {
				t.Errorf("%+v of %d packets", c, total)
			}
			t.Logf("%d packets in %d messages by %d calls", c.Packets, c.Messages, c.Calls)
		})
	}
}

// The shortest and the longest packets there are.
func TestReceiveSizes(t *testing.T) {
	for name, addr := range families() {
		t.Run(name, func(t *testing.T) {
			r, c := open(t, addr), newClient(t, addr)
			in := receive(t, r)
			var want [][]byte
			for i, n := range []int{0, 1, 65_507, 0, 1, 9000} {
				want = append(want, filled(n, 0, i))
				if _, err := c.WriteToUDPAddrPort(want[i], r.Local()); err != nil {
					t.Fatal(err)
				}
			}
			eventually.True(t, 10*time.Second, "all packets", func() bool { return in.count() == len(want) })
			for i, got := range in.from[c.addr] {
				if !bytes.Equal(got, want[i]) {
					t.Errorf("%d bytes instead of %d", len(got), len(want[i]))
				}
			}
		})
	}
}

// Whoever polls disturbs nothing: what comes is read, and no error is counted.
func TestPoll(t *testing.T) {
	s, c := open(t, netip.MustParseAddr("127.0.0.1")), newClient(t, netip.MustParseAddr("127.0.0.1"))
	in := receive(t, s)
	for round := range 100 {
		s.Poll()
		if _, err := c.WriteToUDPAddrPort([]byte{1}, s.Local()); err != nil {
			t.Fatal(err)
		}
		s.Poll()
		eventually.True(t, 10*time.Second, "a packet", func() bool { return in.count() == round+1 })
	}
	if n := s.In().Errors; n != 0 {
		t.Errorf("%d errors", n)
	}
}

func TestReceiveAllocatesNothing(t *testing.T) {
	addr := netip.MustParseAddr("127.0.0.1")
	s, r := open(t, addr), open(t, addr)
	got := make(chan int, 100)
	done := make(chan error)
	go func() { done <- r.Receive(func(packets []Packet) { got <- len(packets) }) }()
	b, d := NewBatch(), NewDestination(s, r.Local())
	if n := testing.AllocsPerRun(100, func() {
		for range 10 {
			b.Room(1200)
			b.Commit(1200, d)
		}
		b.Flush()
		for n := 0; n < 10; {
			n += <-got
		}
	}); n != 0 {
		t.Errorf("%v allocations for ten packets", n)
	}
	_ = r.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// BenchmarkReceive is packets from one sender, in bursts, read in batches and one by one. It includes sending them.
func BenchmarkReceive(b *testing.B) {
	const burst = 32
	addr := netip.MustParseAddr("127.0.0.1")
	for name, cuts := range map[string]bool{"joined": true, "not joined": false} {
		b.Run(name, func(b *testing.B) {
			s, r := open(b, addr), open(b, addr)
			s.cuts = cuts
			got := make(chan int, 100)
			done := make(chan error)
			go func() { done <- r.Receive(func(packets []Packet) { got <- len(packets) }) }()
			batch, d := NewBatch(), NewDestination(s, r.Local())
			b.ReportAllocs()
			for b.Loop() {
				for range burst {
					batch.Room(1200)
					batch.Commit(1200, d)
				}
				batch.Flush()
				for n := 0; n < burst; {
					n += <-got
				}
			}
			in := r.In()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(in.Packets), "ns/packet")
			b.ReportMetric(float64(in.Packets)/float64(in.Messages), "packets/message")
			b.ReportMetric(float64(in.Packets)/float64(in.Calls), "packets/call")
			_ = r.Close()
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				b.Error(err)
			}
		})
	}
	b.Run("the plain way", func(b *testing.B) {
		s, c := open(b, addr), newClient(b, addr)
		s.cuts = false
		batch, d := NewBatch(), NewDestination(s, c.addr)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			for range burst {
				batch.Room(1200)
				batch.Commit(1200, d)
			}
			batch.Flush()
			for range burst {
				if _, _, err := c.ReadFromUDPAddrPort(c.buf[:]); err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
	})
}
