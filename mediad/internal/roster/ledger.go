package roster

import (
	"reflect"
	"strings"
	"time"

	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/store"
)

// This file decides what is believed: it merges events, which may be late, doubled or lost, with snapshots, which are complete but may
// come from a Redis that has lost its data. It does no input or output and has no lock; a table owns each ledger.
//
// Two numbers order everything. Of one full id the higher incarnation is newer; within one incarnation, and between what concerns
// different people, the higher step of the room's history is.

const (
	maxAhead = 256 // steps remembered whose predecessor has not been heard of
	maxGone  = 1024
	goneKept = 2 * time.Minute // longer than an event can be under way and still be newer than the last snapshot
	patience = 3               // snapshots in a row that are behind us before we believe that the numbers began anew
)

// entry is a publisher in the room.
type entry struct {
	pub   room.Publisher
	seq   int64     // the step, or the snapshot, that last said so
	lost  bool      // the last snapshot should have held it and did not
	since time.Time // first of the sound snapshots in a row that lacked it; zero: none
}

// departure is kept so that an event that is late does not bring somebody back.
type departure struct {
	inc, seq int64
	at       time.Time
}

type ledger struct {
	pubs map[room.FullID]*entry
	gone map[room.FullID]departure

	top    int64           // highest step heard of
	solid  int64           // all steps up to this one are in
	base   int64           // step of the last sound snapshot: older events have nothing to add
	ahead  map[int64]int64 // steps above solid that are in, by the number of their predecessor
	behind int             // snapshots in a row whose step was below what we knew when we asked
}

func newLedger() ledger {
	return ledger{pubs: map[room.FullID]*entry{}, gone: map[room.FullID]departure{}, ahead: map[int64]int64{}}
}

// apply takes an event in and reports whether the view has changed. The same event again changes nothing.
func (l *ledger) apply(ev events.Event, now time.Time) bool {
	l.note(ev.Prev, ev.Seq)
	p := ev.Publisher
	if ev.Seq <= l.base || !l.newer(p.FullID, p.Inc, ev.Seq) {
		return false
	}
	if ev.Kind == events.Left {
		return l.remove(p.FullID, p.Inc, ev.Seq, now)
	}
	return sound(p) && l.put(p, ev.Seq)
}

// amend takes in what the publisher itself, which is served here, says of its tracks, and reports whether the view has changed. It is no
// step of the room's history: whatever that says next stands.
func (l *ledger) amend(p room.Publisher) bool {
	e := l.pubs[p.FullID]
	if e == nil || e.pub.Inc != p.Inc || !sound(p) || reflect.DeepEqual(e.pub.Tracks, p.Tracks) {
		return false
	}
	e.pub.Tracks = p.Tracks
	return true
}

// gap reports whether something was missed, or is still under way.
func (l *ledger) gap() bool { return l.solid < l.top }

// merge takes in a snapshot that was asked for when top was asked, and reports whether the view has changed.
//
// A sound snapshot is the truth at its step, but for one thing: after Redis lost its data, the first to restore its record makes the
// snapshot look sound while the others are still missing. So a publisher is first marked as lost, for its owner to see, and
// removed when sound snapshots have lacked it for the time of grace.
func (l *ledger) merge(snap store.Snapshot, asked int64, now time.Time, grace time.Duration) (changed bool) {
	healthy := l.judge(snap.Seq, asked)
	held := make(map[room.FullID]int64, len(snap.Publishers))
	for _, p := range snap.Publishers {
		if !sound(p) {
			continue
		}
		held[p.FullID] = p.Inc
		if healthy && l.newer(p.FullID, p.Inc, snap.Seq) && l.put(p, snap.Seq) {
			changed = true
		}
	}
	for id, e := range l.pubs {
		inc, ok := held[id]
		switch {
		case ok && inc >= e.pub.Inc:
			changed = changed || e.lost
			e.lost, e.since = false, time.Time{}
		case e.seq > max(snap.Seq, asked): // went live after the snapshot was made
		case !healthy:
			changed = changed || !e.lost
			e.lost, e.since = true, time.Time{}
		case e.since.IsZero():
			changed = changed || !e.lost
			e.lost, e.since = true, now
		case now.Sub(e.since) >= grace:
			l.remove(id, e.pub.Inc, snap.Seq, now)
			changed = true
		}
	}
	l.forget(now)
	return changed
}

// doubt is called when a snapshot could not be had: those that lacked somebody are no longer in a row.
func (l *ledger) doubt() {
	for _, e := range l.pubs {
		e.since = time.Time{}
	}
}

// judge decides whether a snapshot with this step can be believed. One that knows less than we knew when we asked, or nothing, comes
// from a Redis that lost data. When that stays so, its numbers have begun anew below ours (its clock was set back), and we
// follow: otherwise nothing would be believed until its clock has caught up.
func (l *ledger) judge(seq, asked int64) bool {
	if seq == 0 {
		return false
	}
	if seq < asked {
		if l.behind++; l.behind < patience {
			return false
		}
		l.rebase(seq)
	}
	l.behind = 0
	l.base = max(l.base, seq)
	l.note(0, 0)
	return true
}

func (l *ledger) rebase(seq int64) {
	l.top, l.solid, l.base = seq, seq, seq
	clear(l.ahead)
	for _, e := range l.pubs {
		e.seq = min(e.seq, seq-1)
	}
	clear(l.gone)
}

// note keeps the account of steps heard of: one whose predecessor is not in leaves a gap. A step without predecessor after there has
// been one is a history begun anew, and a gap.
func (l *ledger) note(prev, seq int64) {
	l.solid = max(l.solid, l.base)
	l.top = max(l.top, l.solid, seq)
	if seq > l.solid && (prev != 0 || l.solid == 0) && len(l.ahead) < maxAhead {
		l.ahead[prev] = seq
	}
	for grown := true; grown; {
		grown = false
		for prev, seq := range l.ahead {
			if prev <= l.solid {
				delete(l.ahead, prev)
				l.solid, grown = max(l.solid, seq), true
			}
		}
	}
}

// newer reports whether something about this incarnation at this step is news.
func (l *ledger) newer(id room.FullID, inc, seq int64) bool {
	var knownInc, knownSeq int64
	if e := l.pubs[id]; e != nil {
		knownInc, knownSeq = e.pub.Inc, e.seq
	} else if d, ok := l.gone[id]; ok {
		knownInc, knownSeq = d.inc, d.seq
	}
	return inc > knownInc || inc == knownInc && seq > knownSeq
}

func (l *ledger) put(p room.Publisher, seq int64) bool {
	e := l.pubs[p.FullID]
	if e != nil && !e.lost && reflect.DeepEqual(e.pub, p) {
		e.seq = seq
		return false
	}
	l.pubs[p.FullID] = &entry{pub: p, seq: seq}
	delete(l.gone, p.FullID)
	return true
}

func (l *ledger) remove(id room.FullID, inc, seq int64, now time.Time) bool {
	_, was := l.pubs[id]
	delete(l.pubs, id)
	if len(l.gone) >= maxGone {
		l.forget(now)
	}
	if len(l.gone) < maxGone {
		l.gone[id] = departure{inc: inc, seq: seq, at: now}
	}
	return was
}

func (l *ledger) forget(now time.Time) {
	for id, d := range l.gone {
		if now.Sub(d.at) > goneKept {
			delete(l.gone, id)
		}
	}
}

// sound reports whether a record can be shown to viewers: its words become lines of their SDP, so none may hold a line break.
func sound(p room.Publisher) bool {
	for _, t := range p.Tracks {
		words := strings.Join(append([]string{t.ID, t.Kind, t.Codec, t.Fmtp}, t.Layers...), "")
		if strings.ContainsFunc(words, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return false
		}
	}
	return true
}
