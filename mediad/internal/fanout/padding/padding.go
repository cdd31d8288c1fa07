// Package padding makes neighbours in a burst equally long.
//
// Whoever collects a burst, a writer or a replay of package fanout, calls it before the sinks get it. It holds no state and starts nothing.
package padding

import "weever/mediad/internal/fanout/history"

const (
	within = 48  // bytes of padding that it is worth to have packets equally long
	from   = 500 // bytes that a packet must have for that
)

// Equalise plans padding so that neighbours are equally long where little is missing: the kernel cuts packets of one length from one
// message, only the last may be shorter. Chromium's packets of one frame differ by a byte. It
// sets Pad, and looks at nothing but the lengths.
func Equalise(burst []history.Packet) {
	size := func(i int) int { return len(burst[i].Payload) + int(burst[i].Pad) }
	grow := func(i, to int) {
		if by := to - len(burst[i].Payload); by > int(burst[i].Pad) && by <= within && to >= from {
			burst[i].Pad = uint8(by)
		}
	}
	for i := len(burst) - 2; i >= 0; i-- {
		grow(i, size(i+1))
	}
	for i := 1; i < len(burst)-1; i++ {
		grow(i, size(i-1))
	}
}
