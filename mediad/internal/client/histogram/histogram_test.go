package histogram

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreCloseToTheSortedSamples(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(math.Exp(rng.Float64()*18)) * time.Microsecond // 1 µs to a minute, even on a logarithmic scale
		h.Record(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all))+0.5)-1, 0)]
		got := h.Quantile(q)
		if diff := math.Abs(float64(got - want)); diff > 0.03*float64(want)+float64(2*time.Microsecond) {
			t.Errorf("quantile %v: %v, the sorted samples say %v", q, got, want)
		}
	}
	if h.Min() != all[0] || h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("min %v max %v count %d", h.Min(), h.Max(), h.Count())
	}
}

func TestEveryBucketHoldsItsMiddle(t *testing.T) {
	for i := range buckets {
		if got := bucket(middle(i)); got != i {
			t.Fatalf("the middle of bucket %d, %v, is in bucket %d", i, middle(i), got)
		}
	}
	for _, d := range []time.Duration{-time.Second, 0, time.Nanosecond, time.Hour, 100 * time.Hour, math.MaxInt64} {
		if got := bucket(max(d, 0)); got < 0 || got >= buckets {
			t.Errorf("%v is in bucket %d of %d", d, got, buckets)
		}
	}
}

func TestMerge(t *testing.T) {
	var a, b, empty, all Histogram
	for i := range 1000 {
		d := time.Duration(i) * time.Millisecond
		all.Record(d)
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	b.Merge(&a)
	b.Merge(&empty)
	if b != all {
		t.Errorf("merged: n %d min %v max %v mean %v; recorded at once: n %d min %v max %v mean %v",
			b.n, b.min, b.max, b.Mean(), all.n, all.min, all.max, all.Mean())
	}
	empty.Merge(&all)
	if empty != all {
		t.Error("merged into an empty one: differs")
	}
}

func TestEmpty(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Min() != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Error("an empty histogram is not all zeros")
	}
	h.Record(-time.Second)
	if h.Quantile(1) != 0 || h.Max() != 0 || h.Count() != 1 {
		t.Error("a negative duration is not zero")
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Record(time.Duration(i&0xffff) * time.Microsecond)
	}
}
