package congestion

import "math"

// losses counts what did not arrive.
type losses struct {
	began     int64 // µs
	gone, got int
	share     float64 // of the last whole window, 0 to 1
	certain   float64 // the least that it is, but for a chance of some percent
}

const (
	lossWindow  = 500_000 // µs
	lossPackets = 50      // that make a measurement
	lossLongest = 4 * lossWindow
	lossSigmas  = 2
)

// close ends the window if it is full.
func (l *losses) close(now int64) bool {
	all := l.gone + l.got
	enough := all >= lossPackets || all > 0 && now-l.began >= lossLongest
	if now-l.began < lossWindow || !enough {
		return false
	}
	share := float64(max(l.gone, 0)) / float64(all)
	*l = losses{began: now, share: share, certain: share - lossSigmas*math.Sqrt(share*(1-share)/float64(all))}
	return true
}
