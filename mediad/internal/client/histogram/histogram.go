// Package histogram counts durations in logarithmic buckets, so that millions of samples cost a few kilobytes.
//
// Durations from 1 µs to over an hour are kept to about 3 %, like an HDR histogram. Receivers of media record into one each;
// whoever reports merges them.
package histogram

import (
	"math/bits"
	"time"
)

// Values below exact µs have a bucket each; above, each power of two is cut into half as many.
const (
	exactBits = 6
	exact     = 1 << exactBits
	half      = exact / 2
	topBits   = 32 // values are cut off at 2^32 µs, 71 minutes
	buckets   = exact + (topBits-exactBits)*half
)

// Histogram is ready to use when zero. It is not safe for use by several goroutines at a time.
type Histogram struct {
	counts   [buckets]uint64
	n        uint64
	sum      time.Duration
	min, max time.Duration
}

// Record adds one duration. A negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)]++
	if h.n == 0 || d < h.min {
		h.min = d
	}
	h.max = max(h.max, d)
	h.n++
	h.sum += d
}

// Merge adds everything that o has counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.n == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	if h.n == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.n += o.n
	h.sum += o.sum
}

// Count is the number of durations recorded.
func (h *Histogram) Count() uint64 { return h.n }

// Min is the smallest duration recorded, exactly; 0 when there is none.
func (h *Histogram) Min() time.Duration { return h.min }

// Max is the largest duration recorded, exactly; 0 when there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the average; 0 when nothing was recorded.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return h.sum / time.Duration(h.n)
}

// Quantile is the duration that a share q, from 0 to 1, of the samples does not exceed, to about 3 %; 0 when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := uint64(q*float64(h.n) + 0.5)
	rank = min(max(rank, 1), h.n)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(max(middle(i), h.min), h.max)
		}
	}
	return h.max
}

func bucket(d time.Duration) int {
	v := min(uint64(d/time.Microsecond), 1<<topBits-1)
	if v < exact {
		return int(v)
	}
	shift := bits.Len64(v) - exactBits // at least 1; v >> shift is within half … exact-1
	return exact + (shift-1)*half + int(v>>shift) - half
}

// middle is the duration in the middle of a bucket.
func middle(i int) time.Duration {
	if i < exact {
		return time.Duration(i) * time.Microsecond
	}
	shift := (i-exact)/half + 1
	low := uint64((i-exact)%half+half) << shift
	return time.Duration(low+1<<(shift-1)) * time.Microsecond
}
