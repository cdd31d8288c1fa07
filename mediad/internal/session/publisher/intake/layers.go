package intake

import (
	"cmp"
	"slices"
	"time"

	"weever/mediad/internal/fanout"
)

// This file keeps the list of a simulcast track's layers true, best first, for viewers, who choose among what the record
// lists. A publisher should name the best layer first (RFC 8853 section 5.1); some name the least, so what counts are the sizes of the
// pictures, once they are known. And a browser that is short of bandwidth or CPU sends nothing on its best layers, maybe never: who
// waited for them would see no picture, so they are listed only while they flow.

// When a layer counts as stopped, and as flowing again. Frames of the others are counted, not time alone: a shared screen that does
// not change is silent in all layers. Each change costs a write to Redis, a message to everybody and key frames, so a layer that has
// stopped before must flow for longer each time.
const (
	stoppedFrames = 15              // of the others since its last one
	stoppedTime   = time.Second     // and as long, or twice its usual interval
	unsureTime    = 3 * time.Second // in place of stoppedTime while that is not known
	slowest       = 5 * time.Second // the longest interval that counts as usual
	absentFrames  = 5               // the same for a layer that has not begun at all: a new viewer need not wait for it
	absentTime    = 300 * time.Millisecond
	flowingFrames = 5                      // its own, in a row; that is enough for one that begins
	firstTrial    = 2 * time.Second        // for which it must flow after it has stopped; twice as long each time
	lastTrial     = 15 * time.Second       // at most
	steadyTime    = time.Minute            // after which its stops are forgotten
	listPause     = 500 * time.Millisecond // between looks at the lists of all tracks: each change is told to everybody
)

// layer is what is known of the flow of one layer.
type layer struct {
	rid      string
	last     time.Time     // its latest frame; before that, when the first one of the track came
	interval time.Duration // the longest of late between two of its frames
	missed   int           // frames of the others since its last one
	run      int           // its frames since it was stopped
	began    time.Time     // of that run
	trial    time.Duration // for which it must flow before it is listed again; 0: it has not stopped yet
	seen     bool
	stopped  bool
}

// flowed takes in a frame of the layer's own.
func (l *layer) flowed(now time.Time) {
	if gap := min(now.Sub(l.last), slowest); l.seen {
		l.interval = max(gap, l.interval-l.interval/4)
	} else {
		l.interval = unsureTime / 2
	}
	l.last, l.missed, l.seen = now, 0, true
	if l.run++; l.run == 1 {
		l.began = now
	}
	switch steady := now.Sub(l.began); {
	case l.stopped:
		l.stopped = l.run < flowingFrames || steady < l.trial
		if !l.stopped {
			l.began = now
		}
	case steady >= steadyTime:
		l.trial = 0
	}
}

// silent reports whether the others have gone on without the layer.
func (l *layer) silent(now time.Time) bool {
	if !l.seen {
		return l.missed >= absentFrames && now.Sub(l.last) >= absentTime
	}
	return l.missed >= stoppedFrames && now.Sub(l.last) >= max(stoppedTime, 2*l.interval)
}

// stop takes in that it is silent.
func (l *layer) stop() {
	if l.seen && !l.stopped {
		l.trial = min(max(firstTrial, 2*l.trial), lastTrial)
	}
	l.stopped, l.run = true, 0
}

// frameLocked is called at the end of each frame of a layer, and has the layers listed anew if need be.
func (in *Intake) frameLocked(i *input, rid string, now time.Time) {
	for n := range i.layers {
		l := &i.layers[n]
		switch {
		case l.rid == rid:
			l.flowed(now)
		case l.last.IsZero():
			l.last = now
		default:
			if l.missed++; l.silent(now) {
				l.stop()
			}
		}
	}
	in.listLocked(now)
}

// listLocked lists the layers of all tracks anew, if it is time for that. A track always has one: where none flows, the list stays.
func (in *Intake) listLocked(now time.Time) {
	if in.closed || now.Sub(in.listed) < listPause {
		return
	}
	in.listed = now
	changed := false
	for _, i := range in.inputs {
		if order := i.rankedLocked(); len(order) > 0 && !i.off && !slices.Equal(order, i.track.Layers) {
			i.track.Layers = order // the old list may be in use elsewhere
			changed = true
		}
	}
	if !changed {
		return
	}
	in.dirty = true
	in.changedLocked()
}

// changedLocked has the session look at Dirty.
func (in *Intake) changedLocked() {
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

// rankedLocked lists the layers that flow: the largest first. While a size is not known they stay as they are listed; if others are,
// they stand as the publisher declared them.
func (i *input) rankedLocked() []string {
	var rids []string
	sizes := map[string]int{}
	known := true
	for _, l := range i.layers {
		if l.stopped {
			continue
		}
		rids = append(rids, l.rid)
		if s := i.streams[l.rid]; s != nil {
			sizes[l.rid] = pixels(s.Stream)
		}
		known = known && sizes[l.rid] > 0
	}
	switch {
	case known:
		slices.SortStableFunc(rids, func(a, b string) int { return cmp.Compare(sizes[b], sizes[a]) })
	case slices.Equal(slices.Sorted(slices.Values(rids)), slices.Sorted(slices.Values(i.track.Layers))):
		return i.track.Layers
	}
	return rids
}

// pixels is the area of a stream's pictures; 0: not known.
func pixels(s *fanout.Stream) int {
	st := s.Stats()
	return st.Width * st.Height
}
