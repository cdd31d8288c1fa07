package fanout

import (
	"context"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/udpio"
	"weever/shared/eventually"
)

// work lets n writers run until the test ends.
func work(tb testing.TB, n int) *Writers {
	tb.Helper()
	w := NewWriters(n, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return w
}

// counter is a Sink that counts, and wants every packet after the one it got last.
type counter struct {
	mu        sync.Mutex
	first     uint64
	last      uint64
	gaps      int
	reports   int
	unbatched int
	gate      chan struct{} // nil: open
	entered   chan struct{} // told when a burst comes to the gate
}

func (c *counter) WritePackets(out *udpio.Batch, burst []Packet) {
	if c.gate != nil {
		select {
		case c.entered <- struct{}{}:
		default:
		}
		<-c.gate
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if out == nil {
		c.unbatched++
	}
	for i := range burst {
		switch index := burst[i].Index; {
		case c.last == 0:
			c.first = index
		case index != c.last+1:
			c.gaps++
		}
		c.last = burst[i].Index
	}
}

func (c *counter) WriteReport(*udpio.Batch, SenderReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports++
}

func (c *counter) read() counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return counter{first: c.first, last: c.last, gaps: c.gaps, reports: c.reports, unbatched: c.unbatched}
}

// TestWritersHandOnEverything to many sinks, in order and in batches, also to those who come while packets flow, and reports too.
func TestWritersHandOnEverything(t *testing.T) {
	s := newTestStream(t, StreamConfig{Codec: "video/VP8", Clock: 90000, Writers: work(t, 3)})
	e := &encoder{tb: t, stream: s, seq: 65000}
	sinks := make([]*counter, 5*shardSinks)
	for i := range sinks {
		sinks[i] = &counter{}
		if i%2 == 0 {
			s.AttachLive(sinks[i])
		}
	}
	for i := range sinks {
		e.frame(i == 0, 4, 300)
		if i%2 == 1 {
			s.AttachLive(sinks[i])
		}
		if i%20 == 0 { // the writers are not to be overrun
			last := s.ring.Newest()
			for j, c := range sinks {
				if j%2 == 0 || j < i { // it was there before the last frame
					eventually.True(t, 10*time.Second, "last packet so far", func() bool { return c.read().last == last })
				}
			}
		}
	}
	e.frame(false, 4, 300)
	s.WriteReport(SenderReport{NTP: 1})
	want := uint64(e.seq) + 1<<17 - 1 // begun in the first turn, wrapped once
	for i, c := range sinks {
		eventually.True(t, 10*time.Second, "last packet and report", func() bool { r := c.read(); return r.last == want && r.reports == 1 })
		if r := c.read(); r.gaps > 0 || r.unbatched > 0 {
			t.Errorf("sink %d: %d gaps, %d bursts without a batch", i, r.gaps, r.unbatched)
		}
	}
	if st := s.Stats(); st.Sinks != len(sinks) || st.Drops != (drop.Counts{}) {
		t.Errorf("stats %+v", st)
	}
}

// TestSlowSinkHoldsUpItsShardAlone: neither who writes nor the sinks of another shard wait for it, and after a while they get by themselves
// what it cannot have.
func TestSlowSinkHoldsUpItsShardAlone(t *testing.T) {
	s := newTestStream(t, StreamConfig{Codec: "video/VP8", Clock: 90000, Writers: work(t, 2)})
	e := &encoder{tb: t, stream: s, seq: 1}
	slow := &counter{gate: make(chan struct{}), entered: make(chan struct{}, 1)}
	open := sync.OnceFunc(func() { close(slow.gate) })
	t.Cleanup(open)
	s.AttachLive(slow)
	others := make([]*counter, 2*shardSinks-1)
	for i := range others {
		others[i] = &counter{}
		s.AttachLive(others[i])
	}
	e.frame(true, 3, 300)
	<-slow.entered
	for range 2000 { // much more than the history holds
		e.frame(false, 3, 1200)
	}
	last := s.ring.Newest()
	eventually.True(t, 10*time.Second, "last packet at the other shard", func() bool { return others[len(others)-1].read().last == last })
	open()
	eventually.True(t, 10*time.Second, "last packet at the slow one", func() bool { return slow.read().last == last })
	r := slow.read()
	if r.gaps == 0 {
		t.Error("the history held more than it may")
	}
	if n := s.Stats().Drops[drop.Overrun]; n == 0 {
		t.Error("what was lost was not counted")
	}
}

// TestOverrunBeginsWithAFrame: a shard that was overtaken goes on with the first packet of a frame.
func TestOverrunBeginsWithAFrame(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	var sink recorder
	s.AttachLive(&sink)
	sh := s.shards[0]
	e := &encoder{tb: t, stream: newTestStream(t, StreamConfig{}), seq: 10}
	s.cfg.Writers = &Writers{} // as if they were busy
	sh.queued = true
	e.stream = s
	for range 1000 {
		e.frame(false, 5, 1200)
	}
	s.cfg.Writers = nil
	for sh.serve(sh.writer) {
	}
	all := sink.all()
	if len(all) == 0 {
		t.Fatal("nothing came")
	}
	first := all[0]
	if (first.Seq-10)%5 != 0 {
		t.Errorf("began with packet %d of a frame", (first.Seq-10)%5)
	}
	if n := s.Stats().Drops[drop.Overrun]; n != uint64(5000-len(all)) {
		t.Errorf("%d counted, %d of 5000 came", n, len(all))
	}
}

// TestDetachedSinkGetsNothingMore than what was under way.
func TestDetachedSinkGetsNothingMore(t *testing.T) {
	s := newTestStream(t, StreamConfig{Codec: "audio/opus", Clock: 48000, Writers: work(t, 1)})
	e := &encoder{tb: t, stream: s, seq: 1}
	gone, stays := &counter{}, &counter{}
	detach := s.AttachLive(gone)
	s.AttachLive(stays)
	e.frame(false, 1, 50)
	eventually.True(t, 10*time.Second, "packet", func() bool { return gone.read().last != 0 && stays.read().last != 0 })
	detach()
	detach()
	before := gone.read().last
	e.frame(false, 1, 50)
	eventually.True(t, 10*time.Second, "next packet", func() bool { return stays.read().last == before+1 })
	if r := gone.read(); r.last != before {
		t.Error("a detached sink got a packet")
	}
	if n := s.Stats().Sinks; n != 1 {
		t.Errorf("%d sinks", n)
	}
}

// TestServingAllocatesNothing in the steady state, whatever the number of sinks.
func TestServingAllocatesNothing(t *testing.T) {
	s := newTestStream(t, StreamConfig{})
	for range 3 {
		s.AttachLive(discard{})
	}
	burst := make([]Packet, 6)
	payload := vp8(false, true, 1, 1100)
	var seq uint16
	write := func() {
		for i := range burst {
			burst[i] = Packet{Seq: seq, Timestamp: uint32(seq) * 3000, Payload: payload}
			seq++
		}
		s.WritePackets(burst)
	}
	for range 1000 {
		write()
	}
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("%v allocations per burst", n)
	}
}
