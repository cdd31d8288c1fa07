package session

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/relay"
	"weever/shared/room"
)

// This file keeps a viewer's legs in step with the room. Everything is decided by comparing what is with what should be, so a
// change that is seen late, twice or together with others leads to the same end.

// Why a track is not sent, for STATS.
const (
	noCodec = "no codec in common"
	noRoom  = "too many tracks for one connection"
)

// announcement is what the client was last told of a publisher.
type announcement struct {
	state  room.State
	tracks []room.Track
}

// compare looks at the room and at the wishes, tells the client who came and went, and changes the legs accordingly. Sections
// follow in the next round.
func (v *viewer) compare() {
	pubs := v.wishes.choose(v.room.View())
	v.announce(pubs)
	want := map[legKey]room.Publisher{}
	for _, p := range pubs {
		for _, t := range p.Tracks {
			if v.wishes.wants(p.FullID, t.ID) {
				want[legKey{p.FullID, t.ID}] = p
			}
		}
	}
	if v.wishes.plain != nil {
		v.renamePlain(want)
	}
	for key, l := range v.legs {
		if p, ok := want[key]; !ok || !v.follow(l, p) {
			v.drop(l)
		}
	}
	for key, p := range want {
		if v.legs[key] == nil && !v.settled {
			v.add(key, p)
		}
	}
	if v.wishes.plain != nil {
		v.waitAlone()
		v.show(pubs)
	}
}

// announce sends PUB_JOIN, PUB_AWAY, PUB_LEFT and TRACKS for what changed since the last time.
func (v *viewer) announce(pubs []room.Publisher) {
	if v.ctl == nil {
		return
	}
	present := map[room.FullID]bool{}
	for _, p := range pubs {
		present[p.FullID] = true
		told, known := v.announced[p.FullID]
		switch {
		case p.State == room.Away && (!known || told.state != room.Away):
			if !known {
				v.send(control.PubJoin{Pub: p.FullID})
			}
			v.send(control.PubAway{Pub: p.FullID})
		case p.State == room.Live && (!known || told.state != room.Live):
			v.send(control.PubJoin{Pub: p.FullID})
		}
		if !known || !sameTracks(told.tracks, p.Tracks) {
			v.send(control.Tracks{Pub: p.FullID, Tracks: publicTracks(p.Tracks)})
		}
		v.announced[p.FullID] = announcement{p.State, p.Tracks}
	}
	for full := range v.announced {
		if !present[full] {
			delete(v.announced, full)
			maps.DeleteFunc(v.noted, func(k legKey, _ bool) bool { return k.pub == full })
			maps.DeleteFunc(v.levels, func(k legKey, _ control.Level) bool { return k.pub == full })
			v.wishes.forget(full)
			v.send(control.PubLeft{Pub: full})
		}
	}
}

func sameTracks(a, b []room.Track) bool {
	return slices.EqualFunc(a, b, func(x, y room.Track) bool {
		return x.ID == y.ID && x.Codec == y.Codec && slices.Equal(x.Layers, y.Layers)
	})
}

func publicTracks(tracks []room.Track) []control.Track {
	out := make([]control.Track, len(tracks))
	for i, t := range tracks {
		out[i] = control.Track{ID: t.ID, Kind: t.Kind, Codec: t.Codec, Layers: t.Layers}
	}
	return out
}

// renamePlain lets a WHEP player's legs go on under the full id that its publisher came back with.
func (v *viewer) renamePlain(want map[legKey]room.Publisher) {
	for key, p := range want {
		for old, l := range v.legs {
			if old != key && v.legs[key] == nil && l.track.Kind == kindOf(p, key.track) {
				delete(v.legs, old)
				l.key = key
				v.legs[key] = l
			}
		}
	}
}

func kindOf(p room.Publisher, track string) string {
	for _, t := range p.Tracks {
		if t.ID == track {
			return t.Kind
		}
	}
	return ""
}

// waitAlone gives a WHEP player's publisher time to come back.
func (v *viewer) waitAlone() {
	playing := false
	for _, l := range v.legs {
		playing = playing || l.inc != 0
	}
	switch {
	case v.alone == nil, playing != v.waits: // not running yet, or nothing new
	case playing:
		v.waits = false
		v.alone.Stop()
	default:
		v.waits = true
		v.alone.Reset(plainWait)
	}
}

// follow makes a leg carry what its publisher sends now. A new incarnation with the same codec is switched to without a round;
// it is false when the leg cannot go on.
func (v *viewer) follow(l *leg, p room.Publisher) bool {
	n := slices.IndexFunc(p.Tracks, func(t room.Track) bool { return t.ID == l.key.track })
	if n < 0 {
		return false
	}
	t := p.Tracks[n]
	if t.Kind != l.track.Kind || !strings.EqualFold(t.Codec, l.track.Codec) || p.Inc == l.inc && t.Fmtp != l.track.Fmtp {
		return false
	}
	layer := v.layerOf(l.key, t)
	if p.Inc == l.inc && layer == l.layer {
		return true
	}
	handle, err := v.source(l.key, p, t, layer)
	if err != nil {
		v.log.Warn("track not switched", "track", t.ID, "err", err)
		return false
	}
	l.down.Switch(handle.Stream(), handle.Close)
	l.inc, l.owner, l.track, l.layer = p.Inc, p.Owner, t, layer
	return true
}

// source opens a publisher's stream, local or relayed.
func (v *viewer) source(key legKey, p room.Publisher, t room.Track, layer string) (*relay.Handle, error) {
	return v.svc.cfg.Relay.Open(
		relay.Key{Room: v.id.room, Publisher: key.pub, Inc: p.Inc, Track: t.ID, Layer: layer}, p.Owner, t)
}

// add opens a leg; it waits for a section. A track whose codec the client lacks gets none.
func (v *viewer) add(key legKey, p room.Publisher) {
	n := slices.IndexFunc(p.Tracks, func(t room.Track) bool { return t.ID == key.track })
	t := p.Tracks[n]
	kind := webrtc.NewRTPCodecType(t.Kind)
	if !v.sections.canReceive(kind, t.Codec) {
		v.note(key, t.Codec, noCodec)
		return
	}
	layer := v.layerOf(key, t)
	handle, err := v.source(key, p, t, layer)
	if err != nil {
		v.log.Warn("track not opened", "track", t.ID, "err", err)
		return
	}
	d, err := down.New(down.Config{Kind: kind, WriteRTCP: v.pc.WriteRTCP})
	if err != nil {
		handle.Close()
		v.log.Error("track not opened", "track", t.ID, "err", err)
		return
	}
	d.SetMsid(key.pub.String(), key.track)
	d.Pause(v.levels[key] == control.LevelOff)
	d.Switch(handle.Stream(), handle.Close)
	if v.connected {
		d.Start()
	}
	v.legs[key] = &leg{key: key, inc: p.Inc, owner: p.Owner, track: t, layer: layer, down: d}
	v.nego.dirty = true
}

// note tells the client once why it gets no such track.
func (v *viewer) note(key legKey, codec, why string) {
	if v.ctl == nil || v.noted[key] {
		return
	}
	v.noted[key] = true
	b, err := json.Marshal(map[string]string{"pub": key.pub.String(), "track": key.track, "codec": codec, "note": why})
	if err == nil {
		v.send(control.Stats{JSON: b})
	}
}

// drop ends a leg at once; its section is parked by the next round. A WHEP player knows no rounds: its leg falls silent and waits.
func (v *viewer) drop(l *leg) {
	l.down.Switch(nil, nil)
	if v.settled {
		l.inc = 0
		return
	}
	delete(v.legs, l.key)
	if l.placed {
		v.doomed = append(v.doomed, l.down)
		v.nego.dirty = true
	}
}
