package ladder

import (
	"testing"
	"time"

	"weever/mediad/internal/fanout/congestion"
)

func BenchmarkDecide(b *testing.B) {
	var l Ladder
	now := time.Now()
	var tracks []*Track
	for range 10 {
		tracks = append(tracks, &Track{})
	}
	layers := three()
	r := congestion.Reading{State: congestion.Steady, Rate: 6_000_000}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(100 * time.Millisecond)
		for _, t := range tracks {
			t.Offer(layers, "h", false)
		}
		l.Decide(now, r, 40_000, tracks)
	}
}
