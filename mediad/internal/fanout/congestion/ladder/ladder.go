// Package ladder chooses which layer of each video track a viewer is sent, by the estimate of what its network carries: pure rules.
//
// A viewer's session owns a Ladder, asks it a few times a second, and switches the tracks. Down it goes at once: as soon as the link
// is too full for what is sent. Up it goes by trial, for an estimate knows no more of a link than was tried on it: when there has been
// no trouble for a while, one step or as much as the estimate covers is tried, and if trouble comes it is taken back and the next
// trial waits twice as long. Nobody is left without the least layer; a client that wants none says so.
package ladder

import (
	"math"
	"time"

	"weever/mediad/internal/fanout/congestion"
)

// Timing.
const (
	// grace is for how long the link must be too full before a track is lowered.
	grace = 100 * time.Millisecond
	// trialGrace is the same for what is on trial, whose first burst is no trouble yet.
	trialGrace = 400 * time.Millisecond
	// settle is between two steps down, so that the first can show, and the quiet before a raise that the estimate covers.
	settle = time.Second
	// firstHold is the quiet before a raise that the estimate does not cover; twice as long after each vain one, at most lastHold.
	firstHold = 5 * time.Second
	lastHold  = time.Minute
	// trial is for how long a raise is taken back if there is trouble; doubt for how long at least trouble makes it a vain one, longer
	// after others: for as long as the hold.
	trial = 5 * time.Second
	doubt = 20 * time.Second
)

const (
	// headroom is by how much the estimate must exceed the need to cover it.
	headroom = 1.05
	// likeness is the share of a vain raise's need from which another raise is as good as the same.
	likeness = 0.9
	// calm is the queue above which there is no quiet.
	calm = 100 * time.Millisecond
	// long is the queue above which nothing waits.
	long = 200 * time.Millisecond
)

// Ladder is the choice for one viewer, for one goroutine at a time. The zero Ladder is ready.
type Ladder struct {
	quiet   time.Time // since when there has been neither trouble nor a raise
	full    time.Time // since when the link has been too full for what is sent; zero: it is not
	lowered time.Time

	hold time.Duration // 0: no raise was in vain of late
	vain int           // bit/s of the last vain raise; 0: none, or another one like it went well

	raised time.Time // when the last raise was made, while it may still prove vain; zero: none may
	tried  int       // bit/s of that
}

// Decide chooses anew. r is the reading of now; a Rate of 0 says that nothing is known of the link, and each track gets the best that
// the client wants. other is what all else takes that is sent to the viewer, in bit/s: sound, retransmissions. Of equal tracks those
// that come first are raised first and lowered last. It reports whether a track's Layer has changed.
func (l *Ladder) Decide(now time.Time, r congestion.Reading, other int, tracks []*Track) (changed bool) {
	if l.quiet.IsZero() {
		l.quiet = now
	}
	for _, t := range tracks {
		if len(t.layers) == 0 {
			t.Offer(nil, "", false)
		}
	}
	if r.Rate == 0 {
		for _, t := range tracks {
			t.at = t.most
		}
	} else {
		l.judge(now, r, newScene(r, other, tracks))
	}
	for _, t := range tracks {
		t.placed = true
		if name := t.layers[t.at].Name; !t.told || name != t.said {
			t.said, t.told, changed = name, true, true
		}
	}
	return changed
}

// judge is Decide for a link of which something is known.
func (l *Ladder) judge(now time.Time, r congestion.Reading, s *scene) {
	young := !l.raised.IsZero() && now.Sub(l.raised) < trial
	// A new layer begins with a large burst, which tells sooner than the queue that it makes.
	narrow := (young || r.State == congestion.Starting) && r.Burst > 0 && r.Burst < s.total
	if narrow || r.State == congestion.Congested || r.State == congestion.Blind {
		l.quiet = now
		l.endure(now, r, s, young, narrow || r.Queue > long)
		return
	}
	l.full = time.Time{}
	if r.Queue > calm || r.State == congestion.Starting {
		l.quiet = now
	}
	l.place(now, s)
	l.prove(now)
	if r.State == congestion.Steady {
		l.rise(now, s)
	}
}

// place gives new tracks their first layer: what the estimate covers, on trial like any raise.
func (l *Ladder) place(now time.Time, s *scene) {
	before := s.total
	s.raise(s.budget, func(t *Track) bool { return !t.placed })
	if s.total != before {
		s.remember()
		s.keep() // trouble lowers them as far as need be, not to the least
		l.raised, l.tried, l.quiet = now, s.total, now
	}
}

// endure deals with a link that is too full; young says that a raise is on trial, urgent that there is nothing to wait for.
func (l *Ladder) endure(now time.Time, r congestion.Reading, s *scene, young, urgent bool) {
	if !young && s.total <= s.budget {
		l.full = time.Time{}
		return
	}
	if l.full.IsZero() {
		l.full = now
	}
	wait := grace
	if young {
		wait = trialGrace
	}
	if now.Sub(l.full) < wait && !urgent || !young && now.Sub(l.lowered) < settle+r.RTT {
		return
	}
	before := s.total
	if young {
		s.restore()
	}
	s.lower(s.budget)
	if s.total == before {
		return // nothing was raised, or all are at their least
	}
	if !l.raised.IsZero() {
		l.hold = min(2*max(l.hold, firstHold), lastHold)
		l.vain, l.raised = l.tried, time.Time{}
	}
	l.lowered, l.full = now, time.Time{}
}

// prove ends the doubts about a raise.
func (l *Ladder) prove(now time.Time) {
	if l.raised.IsZero() || now.Sub(l.raised) < trial {
		return
	}
	if l.tried >= l.vain {
		l.vain = 0
	}
	if now.Sub(l.raised) >= max(doubt, l.hold) {
		l.raised = time.Time{}
		if l.vain == 0 {
			l.hold = 0
		}
	}
}

// rise makes a raise if it is time for one.
func (l *Ladder) rise(now time.Time, s *scene) {
	quiet := now.Sub(l.quiet)
	if quiet < settle || now.Sub(l.lowered) < firstHold {
		return
	}
	limit := math.MaxInt
	if quiet < l.hold && l.vain > 0 {
		limit = int(likeness * float64(l.vain))
	}
	before := s.total
	s.remember()
	s.raise(min(int(float64(s.budget)/headroom), limit), func(*Track) bool { return true })
	if s.total == before && quiet >= firstHold {
		s.step(min(limit, s.narrowest))
	}
	if s.total != before {
		s.keep()
		l.raised, l.tried, l.quiet = now, s.total, now
	}
}
