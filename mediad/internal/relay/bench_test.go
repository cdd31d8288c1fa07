package relay

import (
	"testing"
	"time"

	"weever/shared/eventually"
	"weever/shared/testkit"
)

// BenchmarkJoin is the time from Open on another node to the first packet there, of a stream that waits in its owner's history.
func BenchmarkJoin(b *testing.B) {
	cluster := testkit.NATSCluster(b, 2)
	owner := startNode(b, "aaaa", cluster[0].URL, cluster[0].URL)
	watcher := startNode(b, "bbbb", cluster[1].URL, cluster[1].URL)
	k := key(b, "video0", "")
	p := publish(b, owner, k, videoTrack)
	p.frame(true, 40)
	for range 60 {
		p.frame(false, 6)
	}
	var waited time.Duration
	for b.Loop() {
		v := newViewer(b)
		began := time.Now()
		h := open(b, watcher, k, owner.owner(), videoTrack)
		h.Stream().Attach(v)
		v.await("the first packet", gotSome)
		waited += time.Since(began)
		h.Close()
		eventually.True(b, limit, "the end of the subscription", func() bool { return watcher.media.NumSubscriptions() == 0 })
	}
	b.ReportMetric(float64(waited.Microseconds())/float64(b.N)/1000, "ms/join")
}
