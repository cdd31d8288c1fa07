package delay

import "math"

// The over-use detector: a straight line through the last delays, whose slope is compared with a threshold that adapts itself
// (draft-ietf-rmcat-gcc-02 sections 5.3 and 5.4; the line in place of the Kalman filter, the gain and the constants are libwebrtc's).
const (
	window      = 20
	leastGroups = 10 // that make a line
	smoothing   = 0.9
	gain        = 4
	fullWeight  = 60 // groups until a slope counts in full
	overuseTime = 10 // ms for which a slope must be too steep

	firstThreshold = 12.5 // ms, as all that follow
	leastThreshold = 6
	mostThreshold  = 600
	maxAdaptOffset = 15     // what is further above the threshold is a spike, and no reason to adapt
	adaptUp        = 0.0087 // K_u, in 1/ms
	adaptDown      = 0.039  // K_d

	// leastQueue is how much delay must have built up before it is over-use: less is jitter.
	leastQueue = 15
	// queueGroups are those of which the least late tells the queue.
	queueGroups = 3
	// fallTime is the time over which the delays must have fallen for a queue to be draining.
	fallTime = 100
	// baseTime is how long the least delay is remembered, twice: a change of route is forgotten then.
	baseTime = 10_000
)

// point is one group's delay, in ms.
type point struct{ at, raw, smooth float64 }

// trend watches the delays.
type trend struct {
	began    bool
	origin   measurement // of the first group: times and delays are counted from it
	smoothed float64
	points   [window]point
	count    int // of points ever

	base     [2]float64 // least delay of this baseTime and of the one before
	baseEnds float64

	slope     float64 // the last one
	threshold float64
	adapted   float64 // ms, when the threshold was
	over      float64 // ms for which the slope has been too steep
	steep     int     // groups likewise
	state     Usage
}

// add takes in the delay of a group and says what the link is like.
func (t *trend) add(m measurement) Usage {
	if !t.began || abs(m.arrived-t.last()) > maxJump {
		*t = trend{began: true, origin: m, threshold: firstThreshold, baseEnds: baseTime}
		t.base = [2]float64{math.Inf(1), math.Inf(1)}
	}
	now, delay := float64(m.arrived-t.origin.arrived)/1000, float64(m.delay-t.origin.delay)/1000
	before := t.latest()
	t.smoothed = smoothing*t.smoothed + (1-smoothing)*delay
	t.points[t.count%window] = point{now, delay, t.smoothed}
	t.count++
	if now >= t.baseEnds {
		t.base[1], t.base[0], t.baseEnds = t.base[0], math.Inf(1), now+baseTime
	}
	t.base[0] = min(t.base[0], delay)
	if t.count >= leastGroups {
		t.detect(now, now-before)
	}
	return t.state
}

// latest is when the last group came, in ms; last the same on the receiver's clock.
func (t *trend) latest() float64 { return t.points[(t.count+window-1)%window].at }
func (t *trend) last() int64     { return t.origin.arrived + int64(t.latest()*1000) }

// queue is by how many ms packets are late, beyond the least delay lately.
func (t *trend) queue() float64 {
	if t.count == 0 {
		return 0
	}
	now := math.Inf(1)
	for i := range min(t.count, queueGroups) {
		now = min(now, t.points[(t.count-1-i)%window].raw)
	}
	return now - min(t.base[0], t.base[1])
}

// falling reports whether packets are less late than they were: a burst is draining away then, whatever the smoothed line says.
func (t *trend) falling(now float64) bool {
	late, before := math.Inf(1), math.Inf(1)
	for i := range min(t.count, window) {
		switch p := &t.points[i]; {
		case p.at > now-fallTime:
			late = min(late, p.raw)
		case p.at > now-2*fallTime:
			before = min(before, p.raw)
		}
	}
	return late < before && !math.IsInf(before, 1)
}

// detect is the detector proper.
func (t *trend) detect(now, since float64) {
	slope := t.fit()
	value := float64(min(t.count, fullWeight)) * gain * slope
	switch {
	case value > t.threshold && t.queue() >= leastQueue && !t.falling(now):
		if t.steep == 0 {
			t.over = since / 2
		} else {
			t.over += since
		}
		t.steep++
		if t.over > overuseTime && t.steep > 1 && slope >= t.slope {
			t.state = Overuse
		}
	case value < -t.threshold:
		t.steep, t.state = 0, Underuse
	default:
		t.steep, t.state = 0, Normal
	}
	t.slope = slope
	t.adapt(now, math.Abs(value))
}

// fit is the slope of the line through the points by least squares, in ms per ms.
func (t *trend) fit() float64 {
	var x, y, up, down float64
	points := t.points[:min(t.count, window)]
	n := float64(len(points))
	for i := range points {
		x += points[i].at / n
		y += points[i].smooth / n
	}
	for i := range points {
		dx := points[i].at - x
		up += dx * (points[i].smooth - y)
		down += dx * dx
	}
	if down == 0 {
		return t.slope
	}
	return up / down
}

// adapt moves the threshold (section 5.4), so that neither jitter nor a flow that fills the queue decides for ever.
func (t *trend) adapt(now, value float64) {
	elapsed := min(max(now-t.adapted, 0), 100)
	t.adapted = now
	if value > t.threshold+maxAdaptOffset {
		return
	}
	k := adaptUp
	if value < t.threshold {
		k = adaptDown
	}
	t.threshold = min(max(t.threshold+k*(value-t.threshold)*elapsed, leastThreshold), mostThreshold)
}
