// Package repair asks again for packets that are missing, as browsers do: at once, and then now and again until it gives up.
//
// pion's own generator is not used: it never learns of what came by RTX and asks for that on and on, and it wakes up ten times a second
// for each session whether anything is missing or not. A subscriber owns a List; whoever reads its tracks calls Saw, one goroutine runs
// Run.
package repair

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How browsers ask (WebRTC's NackRequester).
const (
	look     = 20 * time.Millisecond  // how often the list is looked at while something is missing
	patience = 100 * time.Millisecond // before a packet is asked for once more
	tries    = 10                     // then it is given up
	most     = 1000                   // packets of one stream that may be missing; beyond, all are given up: a key frame is cheaper
)

// List is what is missing of a session's streams. Any goroutine may call its methods.
type List struct {
	news chan struct{} // holds one when something new is missing

	mu      sync.Mutex
	streams map[uint32]*stream // by SSRC
}

// stream is one RTP stream.
type stream struct {
	top     uint16 // newest sequence number
	missing []want // oldest first
}

// want is one packet.
type want struct {
	seq   uint16
	asked int
	last  time.Time
}

// New makes a List of nothing.
func New() *List { return &List{news: make(chan struct{}, 1), streams: make(map[uint32]*stream)} }

// Saw takes note of a packet that came, under the SSRC and number of its media stream however it came.
func (l *List) Saw(ssrc uint32, seq uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[ssrc]
	if s == nil {
		l.streams[ssrc] = &stream{top: seq}
		return
	}
	ahead := int16(seq - s.top) //nolint:gosec // the difference is meant to wrap
	if ahead <= 0 {
		s.missing = slices.DeleteFunc(s.missing, func(w want) bool { return w.seq == seq })
		return
	}
	for n := s.top + 1; n != seq; n++ {
		s.missing = append(s.missing, want{seq: n})
	}
	s.top = seq
	if ahead == 1 {
		return
	}
	if len(s.missing) > most {
		s.missing = nil
	}
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// Run calls ask for what is missing of each stream until ctx ends. ask must not block or call the List; it may keep the numbers.
func (l *List) Run(ctx context.Context, ask func(ssrc uint32, seqs []uint16)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.news:
		case <-timer.C:
		}
		if l.askFor(time.Now(), ask) {
			timer.Reset(look)
		}
	}
}

// askFor reports whether anything is missing still.
func (l *List) askFor(now time.Time, ask func(uint32, []uint16)) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ssrc, s := range l.streams {
		var seqs []uint16
		s.missing = slices.DeleteFunc(s.missing, func(w want) bool { return w.asked == tries && now.Sub(w.last) >= patience })
		for i := range s.missing {
			if w := &s.missing[i]; w.asked < tries && now.Sub(w.last) >= patience {
				w.asked++
				w.last = now
				seqs = append(seqs, w.seq)
			}
		}
		if len(seqs) > 0 {
			ask(ssrc, seqs)
		}
		more = more || len(s.missing) > 0
	}
	return more
}
