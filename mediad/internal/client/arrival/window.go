package arrival

import "math/bits"

// windowSize is how far behind the newest number a late one is still told from a repeated one.
const windowSize = 2048

// window counts which of a row of numbers have come, in constant memory. Numbers wrap: 16 bits for RTP sequence numbers, 32 for
// stamps. Ready to use when zero; not safe for use by several goroutines.
type window struct {
	started   bool
	fixed     bool                    // numbers before base do not belong to the row
	base, top int64                   // first and last number of the row, unwrapped
	seen      [windowSize / 64]uint64 // bit n%windowSize: whether n came, for the newest windowSize numbers
	got       uint64                  // different numbers that came
	gaps      uint64                  // numbers that were not there when a later one came
	again     uint64                  // numbers that came again, or too late to tell
}

// add16 adds an RTP sequence number; it reports whether it is new.
func (w *window) add16(n uint16) bool {
	if !w.started {
		return w.start(int64(n))
	}
	return w.add(w.top + int64(int16(n-uint16(w.top)))) //nolint:gosec // the difference is meant to wrap
}

// add32 is add16 for numbers of 32 bits.
func (w *window) add32(n uint32) bool {
	if !w.started {
		return w.start(int64(n))
	}
	return w.add(w.top + int64(int32(n-uint32(w.top)))) //nolint:gosec // the difference is meant to wrap
}

func (w *window) start(n int64) bool {
	*w = window{started: true, base: n, top: n, got: 1, again: w.again, gaps: w.gaps}
	w.mark(n)
	return true
}

func (w *window) add(n int64) bool {
	if n > w.top {
		if n-w.top >= windowSize {
			w.seen = [windowSize / 64]uint64{}
		} else {
			for i := w.top + 1; i < n; i++ {
				w.clear(i)
			}
		}
		w.gaps += uint64(n - w.top - 1) //nolint:gosec // n is greater
		w.top = n
	} else if w.top-n >= windowSize || w.has(n) {
		w.again++
		return false
	}
	w.mark(n)
	if w.fixed && n < w.base {
		return false
	}
	w.base = min(w.base, n)
	w.got++
	return true
}

// restart sets the counts to zero: the row begins with the number after the newest one. What comes late from before is not counted.
func (w *window) restart() {
	w.fixed, w.base = w.started, w.top+1
	w.got, w.gaps, w.again = 0, 0, 0
}

// lost is how many numbers between the first and the last have not come.
func (w *window) lost() uint64 {
	if !w.started {
		return 0
	}
	return uint64(w.top-w.base+1) - w.got //nolint:gosec // got counts numbers from base to top
}

// word is the place of n's bit. Two's complement makes it right for numbers below zero, which a wrap backwards gives.
func word(n int64) (int, uint64) {
	i := uint64(n) % windowSize //nolint:gosec // see above
	return int(i / 64), bits.RotateLeft64(1, int(i%64))
}

func (w *window) mark(n int64)     { i, b := word(n); w.seen[i] |= b }
func (w *window) clear(n int64)    { i, b := word(n); w.seen[i] &^= b }
func (w *window) has(n int64) bool { i, b := word(n); return w.seen[i]&b != 0 }
