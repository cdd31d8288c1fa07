package mailbox

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sender() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.1:1000") }

// Packets are copied, kept in order, not seen before they are delivered, and no more than may wait.
func TestBox(t *testing.T) {
	var pool Pool
	var open atomic.Bool
	b := New(&pool)
	buf := []byte{0}
	for round := range 3 {
		for i := range 4 {
			buf[0] = byte(4*round + i)
			if ok, first := b.Put(buf, sender(), 10); !ok || first != (i == 0) {
				if round < 2 || i < 2 {
					t.Fatalf("packet %d of batch %d: put %v, first %v", i, round, ok, first)
				}
			} else if round == 2 && i >= 2 {
				t.Fatal("more packets wait than may")
			}
		}
		if b.queue.first != nil && round == 0 {
			t.Fatal("seen before it was delivered")
		}
		b.Deliver()
	}
	for i := range 10 {
		p := b.Next(&open)
		if p.Data[0] != byte(i) || p.From != sender() || len(p.Data) != 1 {
			t.Fatalf("packet %d is % x from %v", i, p.Data, p.From)
		}
		pool.Free(p)
	}
	if ok, first := b.Put(make([]byte, 8000), sender(), 1); !ok || !first { // longer than there is room for
		t.Fatal("an empty box took nothing")
	}
	b.Deliver()
	if p := b.Next(&open); len(p.Data) != 8000 {
		t.Fatalf("%d bytes", len(p.Data))
	}
}

// Several read one box: each packet comes to one of them. Who is closed stops, the others go on, until it is shut.
func TestReaders(t *testing.T) {
	const readers, packets = 4, 1000
	var pool Pool
	var closed [readers]atomic.Bool
	var got atomic.Int32
	var all, one sync.WaitGroup
	b := New(&pool)
	for i := range readers {
		wg := &all
		if i == 0 {
			wg = &one
		}
		wg.Go(func() {
			for p := b.Next(&closed[i]); p != nil; p = b.Next(&closed[i]) {
				got.Add(1)
				pool.Free(p)
			}
		})
	}
	closed[0].Store(true)
	b.Wake()
	one.Wait()
	sent := int32(0)
	for range packets {
		if ok, _ := b.Put([]byte{1}, sender(), packets); ok {
			sent++
		}
		b.Deliver()
	}
	for b.waiting.Load() > 0 {
		b.Wake() // does no harm
	}
	b.Shut()
	all.Wait()
	if got.Load() != sent || sent != packets {
		t.Errorf("%d of %d packets were read", got.Load(), sent)
	}
	b.Put([]byte{1}, sender(), 1)
	b.Deliver()
	if b.waiting.Load() != 0 || b.Next(&closed[1]) != nil {
		t.Error("a box that is shut keeps packets")
	}
}

// A packet costs no allocation, but where the pool throws away what it gets, as it does with one in four under the race detector.
func TestAllocatesNothing(t *testing.T) {
	var pool Pool
	var open atomic.Bool
	b, data := New(&pool), make([]byte, 1200)
	var bare sync.Pool
	want := testing.AllocsPerRun(1000, func() {
		for range 10 {
			p, _ := bare.Get().(*Packet)
			if p == nil {
				p = &Packet{}
			}
			bare.Put(p)
		}
	})
	if n := testing.AllocsPerRun(1000, func() {
		for range 10 {
			b.Put(data, sender(), 10)
			b.Deliver()
			pool.Free(b.Next(&open))
		}
	}); n > want {
		t.Errorf("%v allocations for ten packets, the pool's are %v", n, want)
	}
}

// BenchmarkBox is a packet in and out, in batches of ten.
func BenchmarkBox(b *testing.B) {
	var pool Pool
	var open atomic.Bool
	box, data := New(&pool), make([]byte, 1200)
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		box.Put(data, sender(), 10)
		if i%10 == 0 {
			box.Deliver()
			for range 10 {
				pool.Free(box.Next(&open))
			}
		}
	}
}
