package relay

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"weever/mediad/internal/fanout"
	"weever/shared/eventually"
	"weever/shared/room"
	"weever/shared/testkit"
)

// TestAcrossNodes: a stream of one node is watched on two others, through three servers. One starts with the first packet, one joins
// late and gets the cached key frame though the publisher answers no wish; what arrives is what was sent.
func TestAcrossNodes(t *testing.T) {
	cluster := testkit.NATSCluster(t, 3)
	a := startNode(t, "aaaa", cluster[0].URL, cluster[0].URL)
	b := startNode(t, "bbbb", cluster[1].URL, cluster[2].URL)
	c := startNode(t, "cccc", cluster[2].URL, cluster[1].URL)
	k := key(t, "video0", "h")
	p := publish(t, a, k, videoTrack)
	p.frame(true, 5)
	p.frame(false, 5)
	if st := a.Stats(); st.MessagesOut != 0 || len(st.Tracks) != 1 || st.Leases != 0 {
		t.Errorf("before anybody watches: %+v", st)
	}
	onB := newViewer(t)
	defer open(t, b, k, a.owner(), videoTrack).Stream().Attach(onB)()
	onB.awaitSeq(p.seq - 1)
	for range 30 {
		p.frame(false, 5)
	}
	onB.awaitSeq(p.seq - 1)
	onC := newViewer(t)
	defer open(t, c, k, a.owner(), videoTrack).Stream().Attach(onC)()
	onC.awaitSeq(p.seq - 1)
	p.stream.WriteReport(fanout.SenderReport{NTP: 77, RTP: 88})
	for range 30 {
		p.frame(false, 5)
	}
	for name, v := range map[string]*viewer{"b": onB, "c": onC} {
		v.awaitSeq(p.seq - 1)
		v.await("a report on "+name, func(_ []fanout.Packet, reports []fanout.SenderReport) bool {
			return len(reports) == 1 && reports[0] == fanout.SenderReport{NTP: 77, RTP: 88}
		})
		v.check(65530, p.seq-1)
	}
	if st := a.Stats(); st.Leases != 2 || st.PacketsOut != 60*5 || st.MessagesIn != 0 {
		t.Errorf("on a: %+v", st)
	}
	if st := b.Stats(); st.Subscribed != 1 || st.PacketsIn != 60*5 || st.MessagesOut != 0 {
		t.Errorf("on b: %+v", st)
	}
	if n := p.wished(); n != 0 {
		t.Errorf("%d key frames were asked for", n)
	}
}

// TestManyHandlesOneSubscription, which is gone when the last handle is, here and at the owner.
func TestManyHandlesOneSubscription(t *testing.T) {
	url := testkit.NATS(t)
	a, b := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url)
	k := key(t, "video0", "")
	p := publish(t, a, k, videoTrack)
	before := b.media.NumSubscriptions()
	var handles []*Handle
	viewers := make([]*viewer, 50)
	for i := range viewers {
		handles = append(handles, open(t, b, k, a.owner(), videoTrack))
		viewers[i] = newViewer(t)
		handles[i].Stream().Attach(viewers[i])
		if handles[i].Stream() != handles[0].Stream() {
			t.Fatal("two streams for one key")
		}
	}
	eventually.True(t, limit, "the lease", func() bool { return a.Stats().Leases == 1 })
	p.frame(true, 4)
	for _, v := range viewers {
		v.awaitSeq(p.seq - 1)
		v.check(65530, p.seq-1)
	}
	if n := b.media.NumSubscriptions() - before; n != 1 {
		t.Errorf("%d subscriptions for 50 handles", n)
	}
	if st := a.Stats(); st.MessagesOut != 1 || st.PacketsOut != 4 {
		t.Errorf("one frame went as %+v", st)
	}
	for _, h := range handles {
		h.Close()
		h.Close()
	}
	eventually.True(t, limit, "the end of the lease", func() bool { return a.Stats().Leases == 0 })
	eventually.True(t, limit, "the end of the subscription", func() bool { return b.media.NumSubscriptions() == before })
	out := a.Stats().MessagesOut
	p.frame(true, 4)
	if err := a.media.Flush(); err != nil {
		t.Fatal(err)
	}
	if st := a.Stats(); st.MessagesOut != out {
		t.Error("media went to the bus though nobody wants it")
	}
	if n := p.stream.Stats().Sinks; n != 0 {
		t.Errorf("%d sinks left on the stream", n)
	}
	if st := b.Stats(); st.Subscribed != 0 {
		t.Errorf("on b: %+v", st)
	}
}

// TestSameNodeStaysOffTheBus: a stream that is published here is handed out as it is.
func TestSameNodeStaysOffTheBus(t *testing.T) {
	url := testkit.NATS(t)
	a := startNode(t, "aaaa", url, url)
	k := key(t, "audio0", "")
	if _, err := a.Open(k, a.owner(), audioTrack); !errors.Is(err, ErrNotPublished) {
		t.Errorf("before it is published: %v", err)
	}
	p := publish(t, a, k, audioTrack)
	h := open(t, a, k, a.owner(), audioTrack)
	if h.Stream() != p.stream {
		t.Error("not the publisher's own stream")
	}
	for range 100 {
		p.frame(false, 1)
	}
	h.Close()
	if err := a.media.Flush(); err != nil {
		t.Fatal(err)
	}
	if st := a.Stats(); st.MessagesOut != 0 || st.MessagesIn != 0 || st.Subscribed != 0 || a.media.OutMsgs != 0 {
		t.Errorf("%+v, %d messages on the connection", st, a.media.OutMsgs)
	}
	p.unpublish()
	p.unpublish()
	if _, err := a.Open(k, a.owner(), audioTrack); !errors.Is(err, ErrNotPublished) {
		t.Errorf("after it was published: %v", err)
	}
}

// TestLeaseExpires when its holder dies without a word.
func TestLeaseExpires(t *testing.T) {
	cluster := testkit.NATSCluster(t, 2)
	a, b := startNode(t, "aaaa", cluster[0].URL, cluster[0].URL), startNode(t, "bbbb", cluster[1].URL, cluster[1].URL)
	k := key(t, "video0", "")
	p := publish(t, a, k, videoTrack)
	open(t, b, k, a.owner(), videoTrack)
	eventually.True(t, limit, "the lease", func() bool { return a.Stats().Leases == 1 })
	b.media.Close()
	b.control.Close()
	began := time.Now()
	eventually.True(t, limit, "the end of the lease", func() bool { return a.Stats().Leases == 0 })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a lease of a second ended after %v", took)
	}
	if n := p.stream.Stats().Sinks; n != 0 {
		t.Errorf("%d sinks left on the stream", n)
	}
}

// TestOwnerComesLater and goes: the viewer's node tries until it gets the stream, without being told.
func TestOwnerComesLater(t *testing.T) {
	url := testkit.NATS(t)
	b := startNode(t, "bbbb", url, url)
	k := key(t, "video0", "")
	v := newViewer(t)
	h := open(t, b, k, room.Owner{Instance: "aaaa"}, videoTrack)
	h.Stream().Attach(v)
	eventually.True(t, limit, "the subscription", func() bool { return b.media.NumSubscriptions() == 1 })
	a := startNode(t, "aaaa", url, url)
	p := publish(t, a, k, videoTrack)
	p.frame(true, 3)
	v.awaitSeq(p.seq - 1)
	v.check(65530, p.seq-1)
	// The owner forgets us, as after a long freeze, and the next renewal finds a new one under the same key.
	p.unpublish()
	eventually.True(t, limit, "the end of the publication", func() bool { return len(a.Stats().Tracks) == 0 })
	q := publish(t, a, k, videoTrack)
	q.seq, q.ts = p.seq, p.ts
	eventually.True(t, limit, "a new lease", func() bool { return a.Stats().Leases == 1 })
	q.frame(true, 3)
	v.awaitSeq(q.seq - 1)
	v.check(65530, q.seq-1)
	a.stop()
	h.Close()
	eventually.True(t, limit, "the end of the subscription", func() bool { return b.media.NumSubscriptions() == 0 })
}

// TestOutage: the bus goes and comes back; the stream goes on, and what was missed is fetched if the owner still has it.
func TestOutage(t *testing.T) {
	bus := testkit.NATSCluster(t, 1)[0]
	a, b := startNode(t, "aaaa", bus.URL, bus.URL), startNode(t, "bbbb", bus.URL, bus.URL)
	k := key(t, "video0", "")
	p := publish(t, a, k, videoTrack)
	v := newViewer(t)
	open(t, b, k, a.owner(), videoTrack).Stream().Attach(v)
	eventually.True(t, limit, "the lease", func() bool { return a.Stats().Leases == 1 })
	p.frame(true, 3)
	v.awaitSeq(p.seq - 1)
	bus.Stop()
	for range 5 {
		p.frame(false, 3)
	}
	eventually.True(t, limit, "the end of the lease", func() bool { return a.Stats().Leases == 0 })
	bus.Start()
	v.awaitSeq(p.seq - 1)
	p.frame(false, 3)
	v.awaitSeq(p.seq - 1)
	v.check(65530, p.seq-1)
}

// TestKeyframeWishes of two nodes with many viewers reach the publisher as few.
func TestKeyframeWishes(t *testing.T) {
	cluster := testkit.NATSCluster(t, 3)
	a := startNode(t, "aaaa", cluster[0].URL, cluster[0].URL)
	k := key(t, "video0", "")
	p := publish(t, a, k, videoTrack)
	p.frame(false, 3) // nothing to start from
	var streams []*fanout.Stream
	for i, instance := range []string{"bbbb", "cccc"} {
		n := startNode(t, instance, cluster[i+1].URL, cluster[i+1].URL)
		for range 5 {
			h := open(t, n, k, a.owner(), videoTrack)
			h.Stream().Attach(newViewer(t))
			streams = append(streams, h.Stream())
		}
	}
	eventually.True(t, limit, "the first wish", func() bool { return p.wished() > 0 })
	began := time.Now()
	for time.Since(began) < 1200*time.Millisecond {
		for _, s := range streams {
			s.RequestKeyframe()
		}
		<-time.After(20 * time.Millisecond)
	}
	took := time.Since(began)
	if n := p.wished(); n < 2 || n > 2+int(took/(500*time.Millisecond)) {
		t.Errorf("%d wishes in %v, want one per half second", n, took)
	}
}

// TestEnd: when the relay ends it gives up its leases and refuses new work.
func TestEnd(t *testing.T) {
	url := testkit.NATS(t)
	a, b := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url)
	k := key(t, "video0", "")
	p := publish(t, a, k, videoTrack)
	h := open(t, b, k, a.owner(), videoTrack)
	eventually.True(t, limit, "the lease", func() bool { return a.Stats().Leases == 1 })
	b.stop()
	if n := a.Stats().Leases; n != 0 {
		t.Errorf("%d leases left", n)
	}
	if n := b.media.NumSubscriptions(); n != 0 {
		t.Errorf("%d subscriptions left", n)
	}
	h.Close()
	if _, err := b.Open(k, a.owner(), videoTrack); !errors.Is(err, ErrClosed) {
		t.Errorf("Open after the end: %v", err)
	}
	if _, err := b.Publish(k, p.stream); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish after the end: %v", err)
	}
}

// TestChurn opens and closes all the time while media flows; nothing may stay behind.
func TestChurn(t *testing.T) {
	cluster := testkit.NATSCluster(t, 2)
	a, b := startNode(t, "aaaa", cluster[0].URL, cluster[0].URL), startNode(t, "bbbb", cluster[1].URL, cluster[1].URL)
	keys := []Key{key(t, "video0", "h"), key(t, "video0", "l"), key(t, "video1", "")}
	stop, done := make(chan struct{}), make(chan struct{})
	var publishers []*publisher
	for _, k := range keys {
		publishers = append(publishers, publish(t, a, k, videoTrack))
	}
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			for _, p := range publishers {
				p.frame(i%20 == 0, 2)
			}
		}
	}()
	for range 60 {
		var handles []*Handle
		for range 5 {
			h := open(t, b, keys[rand.IntN(len(keys))], a.owner(), videoTrack)
			h.Stream().Attach(newViewer(t))
			handles = append(handles, h)
		}
		<-time.After(time.Duration(rand.IntN(10)) * time.Millisecond)
		for _, h := range handles {
			h.Close()
		}
	}
	v := newViewer(t)
	h := open(t, b, keys[0], a.owner(), videoTrack)
	h.Stream().Attach(v)
	v.await("media after all that", func(packets []fanout.Packet, _ []fanout.SenderReport) bool { return len(packets) > 100 })
	h.Close()
	close(stop)
	<-done
	eventually.True(t, limit, "no lease", func() bool { return a.Stats().Leases == 0 })
	eventually.True(t, limit, "no subscription", func() bool { return b.media.NumSubscriptions() == 0 })
	if st := b.Stats(); st.Drops["unreadable"] != 0 || st.Drops["slow_consumer"] != 0 || st.Drops["lost_on_bus"] != 0 {
		t.Errorf("drops %v", st.Drops)
	}
}

// TestBatchingRatio: messages per packet at 30 frames a second and 2 Mbit/s, both traffic models.
func TestBatchingRatio(t *testing.T) {
	url := testkit.NATS(t)
	for _, tc := range []struct {
		name   string
		pace   time.Duration // between pairs of packets; 0: a frame at once
		limit  float64
		frames int
	}{{"burst", 0, 0.25, 30}, {"browser", 5 * time.Millisecond, 0.6, 30}} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url)
			k := key(t, "video0", "")
			p := publish(t, a, k, videoTrack)
			v := newViewer(t)
			open(t, b, k, a.owner(), videoTrack).Stream().Attach(v)
			eventually.True(t, limit, "the lease", func() bool { return a.Stats().Leases == 1 })
			for f := range tc.frames {
				for i := range 6 {
					if tc.pace > 0 && i%2 == 0 {
						<-time.After(tc.pace)
					}
					p.stream.WritePackets([]fanout.Packet{{Seq: p.seq, Timestamp: p.ts, Marker: i == 5, Payload: payload(f == 0, i == 0, p.seq)}})
					p.seq++
				}
				p.ts += 3000
			}
			v.awaitSeq(p.seq - 1)
			eventually.True(t, limit, "the count of all packets", func() bool { return a.Stats().PacketsOut == uint64(6*tc.frames) })
			st := a.Stats()
			ratio := float64(st.MessagesOut) / float64(st.PacketsOut)
			t.Logf("%d messages for %d packets: %.2f", st.MessagesOut, st.PacketsOut, ratio)
			if ratio > tc.limit {
				t.Errorf("%d messages for %d packets, want a ratio of %.2f", st.MessagesOut, st.PacketsOut, tc.limit)
			}
			b.stop()
			a.stop()
		})
	}
}
