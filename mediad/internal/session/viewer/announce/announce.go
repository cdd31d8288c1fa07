// Package announce works out what a viewer's client has to be told of its room: who came, who is away, who left, what they send and
// what of it the client cannot have.
//
// It is pure. A viewer's Run owns a Ledger and sends the messages that it returns.
package announce

import (
	"encoding/json"
	"maps"
	"slices"

	"weever/mediad/internal/control"
	"weever/shared/room"
)

// Why a track is not sent, for Note.
const (
	NoCodec = "no codec in common"
	NoRoom  = "too many tracks for one connection"
)

// Ledger is what the client of one viewer was last told.
type Ledger struct {
	told  map[room.FullID]entry
	noted map[track]bool
}

type entry struct {
	state  room.State
	tracks []room.Track
}

type track struct {
	pub room.FullID
	id  string
}

// New makes the Ledger of a client that knows nothing.
func New() *Ledger { return &Ledger{map[room.FullID]entry{}, map[track]bool{}} }

// Update gives the messages that bring the client up to date with the publishers it may see, in the order to be sent, and who is told
// to have left.
func (l *Ledger) Update(pubs []room.Publisher) (messages []control.Message, left []room.FullID) {
	present := map[room.FullID]bool{}
	for _, p := range pubs {
		present[p.FullID] = true
		told, known := l.told[p.FullID]
		switch {
		case p.State == room.Away && (!known || told.state != room.Away):
			if !known {
				messages = append(messages, control.PubJoin{Pub: p.FullID})
			}
			messages = append(messages, control.PubAway{Pub: p.FullID})
		case p.State == room.Live && (!known || told.state != room.Live):
			messages = append(messages, control.PubJoin{Pub: p.FullID})
		}
		if !known || !same(told.tracks, p.Tracks) {
			messages = append(messages, control.Tracks{Pub: p.FullID, Tracks: public(p.Tracks)})
		}
		l.told[p.FullID] = entry{p.State, p.Tracks}
	}
	for full := range l.told {
		if !present[full] {
			delete(l.told, full)
			maps.DeleteFunc(l.noted, func(t track, _ bool) bool { return t.pub == full })
			messages = append(messages, control.PubLeft{Pub: full})
			left = append(left, full)
		}
	}
	return messages, left
}

// Note gives the message that says why the client gets no such track. It is nil when the client was told since the publisher came.
func (l *Ledger) Note(pub room.FullID, id, codec, why string) control.Message {
	if l.noted[track{pub, id}] {
		return nil
	}
	l.noted[track{pub, id}] = true
	b, err := json.Marshal(map[string]string{"pub": pub.String(), "track": id, "codec": codec, "note": why})
	if err != nil {
		return nil // strings always can be written
	}
	return control.Stats{JSON: b}
}

func same(a, b []room.Track) bool {
	return slices.EqualFunc(a, b, func(x, y room.Track) bool {
		return x.ID == y.ID && x.Codec == y.Codec && slices.Equal(x.Layers, y.Layers)
	})
}

// public is what a record's tracks say to clients.
func public(tracks []room.Track) []control.Track {
	out := make([]control.Track, len(tracks))
	for i, t := range tracks {
		out[i] = control.Track{ID: t.ID, Kind: t.Kind, Codec: t.Codec, Layers: t.Layers}
	}
	return out
}
