// Package wishes decides what a viewer is to be sent: pure rules, no I/O.
//
// A viewer's Run owns its Wishes: it tells them what the client said, asks them whom and what to send, and lets them forget who left.
package wishes

import (
	"maps"

	"weever/mediad/internal/control"
	"weever/mediad/internal/roster"
	"weever/shared/room"
)

// maxSpoken bounds what one viewer may have remembered; more is refused.
const maxSpoken = 4096

// Track names one thing a viewer may be sent.
type Track struct {
	Pub room.FullID
	ID  string
}

// Config is what is known of a viewer from the start.
type Config struct {
	Self   room.ID // whose own streams are never sent
	Manual bool    // only what was asked for
	Player bool    // a WHEP player, which watches one person and cannot say a thing
	Pub    string  // of a player: an id or full id; empty: anybody
}

// Wishes is what one viewer wants.
type Wishes struct {
	self   room.ID
	manual bool
	// spoken remembers SUB (true) and UNSUB (false) until the publisher leaves; the key without track speaks of all tracks.
	spoken map[Track]bool
	levels map[Track]control.Level // by LAYER; likewise
	player *playerWish             // nil: it has a control channel
}

// New makes the Wishes of a viewer that has said nothing yet.
func New(cfg Config) *Wishes {
	w := &Wishes{self: cfg.Self, manual: cfg.Manual, spoken: map[Track]bool{}, levels: map[Track]control.Level{}}
	if cfg.Player {
		w.player = &playerWish{name: cfg.Pub}
	}
	return w
}

// Obey takes in a SUB, UNSUB or SUB_MODE and gives the answer to it.
func (w *Wishes) Obey(m control.Message) control.Message {
	ok := true
	switch m := m.(type) {
	case control.SubMode:
		w.SetManual(m.Mode == control.ModeManual)
	case control.Sub:
		ok = w.Say(m.Pub, m.Tracks, true)
	case control.Unsub:
		ok = w.Say(m.Pub, m.Tracks, false)
	}
	if !ok {
		return control.Err{Word: control.WordOf(m), Reason: "too many are remembered; UNSUB or use SUB_MODE"}
	}
	return control.OK{}
}

// Say takes in a SUB (want) or UNSUB of a publisher's tracks; none: of all. False: too many are remembered, and nothing changed.
func (w *Wishes) Say(pub room.FullID, tracks []string, want bool) bool {
	if len(w.spoken)+max(1, len(tracks)) > maxSpoken {
		return false
	}
	if len(tracks) == 0 {
		maps.DeleteFunc(w.spoken, func(t Track, _ bool) bool { return t.Pub == pub })
		w.spoken[Track{Pub: pub}] = want
		return true
	}
	for _, t := range tracks {
		w.spoken[Track{pub, t}] = want
	}
	return true
}

// SetManual takes in a SUB_MODE.
func (w *Wishes) SetManual(manual bool) { w.manual = manual }

// SetLevel takes in a LAYER. One for a track that is not being sent is dropped when too many are remembered.
func (w *Wishes) SetLevel(t Track, level control.Level, sent bool) {
	if sent || len(w.levels) < maxSpoken {
		w.levels[t] = level
	}
}

// Off reports whether a track is to be silent, though it keeps its section.
func (w *Wishes) Off(t Track) bool { return w.levels[t] == control.LevelOff }

// Layer chooses among a track's layers, best first, by the level asked for; empty when it has none.
func (w *Wishes) Layer(t Track, layers []string) string { return layerFor(layers, w.levels[t]) }

// Forget drops what was said of a publisher that left.
func (w *Wishes) Forget(pub room.FullID) {
	maps.DeleteFunc(w.spoken, func(t Track, _ bool) bool { return t.Pub == pub })
	maps.DeleteFunc(w.levels, func(t Track, _ control.Level) bool { return t.Pub == pub })
}

// visible reports whether the viewer may see anything of pub at all.
func (w *Wishes) visible(pub room.FullID) bool { return pub.ID() != w.self }

// Wants reports whether a track should be sent.
func (w *Wishes) Wants(t Track) bool {
	if want, ok := w.spoken[t]; ok {
		return want
	}
	if want, ok := w.spoken[Track{Pub: t.Pub}]; ok {
		return want
	}
	return !w.manual
}

// Choose lists the publishers to show out of a view, oldest first.
func (w *Wishes) Choose(view *roster.View) []room.Publisher {
	var out []room.Publisher
	for _, p := range view.Sorted() {
		if w.visible(p.FullID) {
			out = append(out, p)
		}
	}
	if w.player == nil {
		return out
	}
	return w.player.choose(out)
}

// layerFor chooses among a track's layers, best first, by the level asked for.
func layerFor(layers []string, level control.Level) string {
	if len(layers) == 0 {
		return ""
	}
	switch level {
	case control.LevelLow:
		return layers[len(layers)-1]
	case control.LevelMid:
		return layers[(len(layers)-1)/2]
	default:
		return layers[0]
	}
}
