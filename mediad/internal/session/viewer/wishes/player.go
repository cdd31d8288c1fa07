package wishes

import (
	"slices"
	"strings"

	"weever/shared/room"
)

// playerWish is what a WHEP player watches: one audio and one video of one person.
type playerWish struct {
	name  string // ?pub=: an id or full id; empty: anybody
	label string // of whom it found; from then on only this one
}

// choose picks the one publisher of a WHEP player: the one it had, even under another full id of the same label; at first the
// oldest live one that fits.
func (pw *playerWish) choose(pubs []room.Publisher) []room.Publisher {
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
