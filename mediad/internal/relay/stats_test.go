package relay

import (
	"sync/atomic"
	"testing"
	"time"

	"weever/mediad/internal/relay/tally"
	"weever/shared/eventually"
	"weever/shared/testkit"
)

// TestStats: what streams counted stays when they have ended, here and there; two layers are one track.
func TestStats(t *testing.T) {
	url := testkit.NATS(t)
	a, b := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url)
	var hops atomic.Int64
	b.cfg.Hop = func(d time.Duration) { // before anything is open
		if d <= 0 || d > limit {
			t.Errorf("half a round trip took %v", d)
		}
		hops.Add(1)
	}
	high, low := key(t, "video0", "h"), key(t, "video0", "l")
	p, q := publish(t, a, high, videoTrack), publish(t, a, low, videoTrack)
	sound := publish(t, a, key(t, "audio0", ""), audioTrack)
	p.frame(true, 5)
	q.frame(true, 2)
	vp8, opus := tally.Codec{Kind: "video", Name: "vp8"}, tally.Codec{Kind: "audio", Name: "opus"}
	local, remote := tally.Kind{Origin: tally.Local, Codec: vp8}, tally.Kind{Origin: tally.Remote, Codec: vp8}
	st := a.Stats()
	if len(st.Tracks) != 2 || st.Tracks[vp8] != 1 || st.Tracks[opus] != 1 {
		t.Errorf("published tracks %v", st.Tracks)
	}
	if s := st.Streams[local]; s.Live != 2 || s.Sum.Packets != 7 || s.Sum.Bytes != 7000 || s.Now.Memory == 0 {
		t.Errorf("local streams: %+v", s)
	}

	v := newViewer(t)
	h := open(t, b, high, a.owner(), videoTrack)
	detach := h.Stream().Attach(v)
	v.awaitSeq(p.seq - 1)
	eventually.True(t, limit, "the lease", func() bool { return b.Stats().Held == 1 })
	h.Stream().RequestKeyframe()
	eventually.True(t, limit, "the wish", func() bool { return a.Stats().Asked == 1 })
	st = b.Stats()
	if s := st.Streams[remote]; s.Live != 1 || s.Sum.Packets != 5 || s.Sum.Wishes != 1 || s.Sum.Replays != 1 {
		t.Errorf("remote streams: %+v", s)
	}
	eventually.True(t, limit, "a hop", func() bool { return hops.Load() > 0 })
	detach()
	h.Close()
	p.unpublish()
	q.unpublish()
	sound.unpublish()
	eventually.True(t, limit, "the end", func() bool { return b.Stats().Streams[remote].Live == 0 })
	if s := b.Stats().Streams[remote]; s.Sum.Packets != 5 || s.Now.Memory != 0 || b.Stats().Held != 0 {
		t.Errorf("remote streams, in the end: %+v", s)
	}
	if s := a.Stats(); s.Streams[local].Live != 0 || s.Streams[local].Sum.Packets != 7 || len(s.Tracks) != 0 {
		t.Errorf("local streams, in the end: %+v", s)
	}
}

// The first call for a lease and the one that ends it are no renewals: the one does more, the other comes when nobody waits.
func TestHopsAreRenewals(t *testing.T) {
	url := testkit.NATS(t)
	a, b := startNode(t, "aaaa", url, url), startNode(t, "bbbb", url, url)
	var hops atomic.Int64
	b.cfg.Hop, b.cfg.Renew = func(time.Duration) { hops.Add(1) }, time.Hour // before anything is open
	p := publish(t, a, key(t, "video0", "h"), videoTrack)
	p.frame(true, 5)
	h, v := open(t, b, key(t, "video0", "h"), a.owner(), videoTrack), newViewer(t)
	defer h.Stream().Attach(v)()
	v.awaitSeq(p.seq - 1) // there is a lease, or nothing would come
	h.Close()
	remote := tally.Kind{Origin: tally.Remote, Codec: tally.Codec{Kind: "video", Name: "vp8"}}
	eventually.True(t, limit, "the end", func() bool { return b.Stats().Streams[remote].Live == 0 })
	if n := hops.Load(); n != 0 {
		t.Errorf("%d hops were measured without a renewal", n)
	}
}
