package session

import (
	"slices"
	"strings"

	"weever/mediad/internal/control"
	"weever/mediad/internal/roster"
	"weever/shared/room"
)

// wishes is what a viewer wants to see: pure rules, no I/O. Viewer.run owns it.
type wishes struct {
	self   room.ID // whose own streams are never sent
	manual bool    // only what was asked for
	// spoken remembers SUB (true) and UNSUB (false) until the publisher leaves; the key without track speaks of all tracks.
	spoken map[wishKey]bool
	plain  *plainWish // not nil: a WHEP player without control channel
}

type wishKey struct {
	pub   room.FullID
	track string
}

// maxSpoken bounds what one viewer may have remembered; more is refused.
const maxSpoken = 4096

// plainWish is what a WHEP player watches: one audio and one video of one person.
type plainWish struct {
	name  string // ?pub=: an id or full id; empty: anybody
	label string // of whom it found; from then on only this one
}

// say takes in a SUB or UNSUB; false: too many.
func (w *wishes) say(pub room.FullID, tracks []string, want bool) bool {
	if len(w.spoken)+max(1, len(tracks)) > maxSpoken {
		return false
	}
	if len(tracks) == 0 {
		for k := range w.spoken {
			if k.pub == pub {
				delete(w.spoken, k)
			}
		}
		w.spoken[wishKey{pub: pub}] = want
		return true
	}
	for _, t := range tracks {
		w.spoken[wishKey{pub, t}] = want
	}
	return true
}

// forget drops what was said of a publisher that left.
func (w *wishes) forget(pub room.FullID) {
	for k := range w.spoken {
		if k.pub == pub {
			delete(w.spoken, k)
		}
	}
}

// visible reports whether the viewer may see anything of pub at all.
func (w *wishes) visible(pub room.FullID) bool { return pub.ID() != w.self }

// wants reports whether a track should be sent.
func (w *wishes) wants(pub room.FullID, track string) bool {
	if want, ok := w.spoken[wishKey{pub, track}]; ok {
		return want
	}
	if want, ok := w.spoken[wishKey{pub: pub}]; ok {
		return want
	}
	return !w.manual
}

// choose lists the publishers to show out of a view, oldest first.
func (w *wishes) choose(view *roster.View) []room.Publisher {
	var out []room.Publisher
	for _, p := range view.Sorted() {
		if w.visible(p.FullID) {
			out = append(out, p)
		}
	}
	if w.plain == nil {
		return out
	}
	return w.plain.choose(out)
}

// choose picks the one publisher of a WHEP player: the one it had, even under another full id of the same label; at first the
// oldest live one that fits.
func (pw *plainWish) choose(pubs []room.Publisher) []room.Publisher {
	fits := func(p room.Publisher) bool {
		switch {
		case pw.label != "":
			return p.FullID.Label() == pw.label
		case p.State != room.Live:
			return false
		case pw.name == "":
			return !p.FullID.Screen()
		case strings.Contains(pw.name, "+"):
			return p.FullID.String() == pw.name
		default:
			return p.FullID.Label() == pw.name
		}
	}
	n := slices.IndexFunc(pubs, fits)
	if pw.label != "" { // the newest connection of the same label is the one that goes on
		for i := len(pubs) - 1; i >= 0; i-- {
			if fits(pubs[i]) && (n < 0 || pubs[i].Inc > pubs[n].Inc) {
				n = i
			}
		}
	}
	if n < 0 {
		return nil
	}
	p := pubs[n]
	pw.label = p.FullID.Label()
	p.Tracks = firstOfEachKind(p.Tracks)
	return []room.Publisher{p}
}

func firstOfEachKind(tracks []room.Track) []room.Track {
	var out []room.Track
	for _, kind := range []string{"audio", "video"} {
		if n := slices.IndexFunc(tracks, func(t room.Track) bool { return t.Kind == kind }); n >= 0 {
			out = append(out, tracks[n])
		}
	}
	return out
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
