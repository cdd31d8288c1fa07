package viewer

import (
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/session/viewer/announce"
	"weever/mediad/internal/session/viewer/wishes"
	"weever/shared/room"
)

// This file keeps a viewer's legs in step with the room. Everything is decided by comparing what is with what should be, so a
// change that is seen late, twice or together with others leads to the same end.

// leg is one publisher's track on its way to the viewer.
type leg struct {
	key    wishes.Track
	inc    int64
	owner  room.Owner
	track  room.Track
	layer  string
	source *fanout.Stream
	down   *down.Track
	placed bool // on a section
}

// compare looks at the room and at the wishes, tells the client who came and went, and changes the legs accordingly. Sections
// follow in the next round. It returns who there was to choose from.
func (v *Viewer) compare() (pubs []room.Publisher) {
	pubs = v.wishes.Choose(v.room.View())
	v.announce(pubs)
	want := map[wishes.Track]room.Publisher{}
	for _, p := range pubs {
		for _, t := range p.Tracks {
			if key := (wishes.Track{Pub: p.FullID, ID: t.ID}); v.wishes.Wants(key) {
				want[key] = p
			}
		}
	}
	if v.player != nil {
		v.renamePlain(want)
	}
	v.offer(pubs)
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
	if v.player != nil {
		v.waitAlone()
		v.show(pubs)
	}
	return pubs
}

// announce tells the client what changed in the room since the last time.
func (v *Viewer) announce(pubs []room.Publisher) {
	if v.ctl == nil {
		return
	}
	messages, left := v.told.Update(pubs)
	for _, pub := range left {
		v.wishes.Forget(pub)
	}
	for _, m := range messages {
		v.send(m)
	}
}

// renamePlain lets a WHEP player's legs go on under the full id that its publisher came back with.
func (v *Viewer) renamePlain(want map[wishes.Track]room.Publisher) {
	for key, p := range want {
		t, _ := trackOf(p, key)
		for old, l := range v.legs {
			if old != key && v.legs[key] == nil && l.track.Kind == t.Kind {
				delete(v.legs, old)
				l.key = key
				v.legs[key] = l
			}
		}
	}
}

// trackOf finds a track of a publisher's; false: it has none of that name.
func trackOf(p room.Publisher, key wishes.Track) (room.Track, bool) {
	n := slices.IndexFunc(p.Tracks, func(t room.Track) bool { return t.ID == key.ID })
	if n < 0 {
		return room.Track{}, false
	}
	return p.Tracks[n], true
}

// waitAlone gives a WHEP player's publisher time to come back.
func (v *Viewer) waitAlone() {
	playing := false
	for _, l := range v.legs {
		playing = playing || l.inc != 0
	}
	v.alone.Look(playing)
}

// follow makes a leg carry what its publisher sends now. A new incarnation with the same codec is switched to without a round;
// it is false when the leg cannot go on.
func (v *Viewer) follow(l *leg, p room.Publisher) bool {
	t, ok := trackOf(p, l.key)
	if !ok || t.Kind != l.track.Kind || !strings.EqualFold(t.Codec, l.track.Codec) || p.Inc == l.inc && t.Fmtp != l.track.Fmtp {
		return false
	}
	layer := v.layerOf(l.key, t)
	if p.Inc == l.inc && layer == l.layer {
		l.track = t // the layers to choose from may be others
		return true
	}
	handle, err := v.source(l.key, p, t, layer)
	if err != nil {
		v.log.Warn("track not switched", "track", t.ID, "err", err)
		return false
	}
	turn := l.down.Switch
	if p.Inc == l.inc && v.share.Urgent(l.key, l.layer) {
		turn = l.down.SwitchNow
	}
	turn(handle.Stream(), handle.Close)
	l.inc, l.owner, l.track, l.layer, l.source = p.Inc, p.Owner, t, layer, handle.Stream()
	return true
}

// takesNone reports whether the publishers send something, and nothing that the client can receive. Where there are no legs for another reason,
// a publisher is about to begin or to go.
func (v *Viewer) takesNone(pubs []room.Publisher) bool {
	tracks := 0
	for _, p := range pubs {
		for _, t := range p.Tracks {
			if v.sections.CanReceive(webrtc.NewRTPCodecType(t.Kind), t.Codec) {
				return false
			}
			tracks++
		}
	}
	return tracks > 0
}

// source opens a publisher's stream, local or relayed.
func (v *Viewer) source(key wishes.Track, p room.Publisher, t room.Track, layer string) (*relay.Handle, error) {
	return v.cfg.Relay.Open(
		relay.Key{Room: v.ID.Room, Publisher: key.Pub, Inc: p.Inc, Track: t.ID, Layer: layer}, p.Owner, t)
}

// add opens a leg; it waits for a section. A track whose codec the client lacks gets none.
func (v *Viewer) add(key wishes.Track, p room.Publisher) {
	t, _ := trackOf(p, key)
	kind := webrtc.NewRTPCodecType(t.Kind)
	if !v.sections.CanReceive(kind, t.Codec) {
		v.note(key, t.Codec, announce.NoCodec)
		return
	}
	layer := v.layerOf(key, t)
	handle, err := v.source(key, p, t, layer)
	if err != nil {
		v.log.Warn("track not opened", "track", t.ID, "err", err)
		return
	}
	d, err := v.outlets.Open(kind)
	if err != nil {
		handle.Close()
		v.log.Error("track not opened", "track", t.ID, "err", err)
		return
	}
	d.SetMsid(key.Pub.String(), key.ID)
	d.Pause(v.wishes.Off(key))
	d.Switch(handle.Stream(), handle.Close)
	if v.connected {
		d.Start()
	}
	v.legs[key] = &leg{key: key, inc: p.Inc, owner: p.Owner, track: t, layer: layer, source: handle.Stream(), down: d}
	v.nego.Changed()
}

// note tells the client once why it gets no such track.
func (v *Viewer) note(key wishes.Track, codec, why string) {
	if v.ctl == nil {
		return
	}
	if m := v.told.Note(key.Pub, key.ID, codec, why); m != nil {
		v.send(m)
	}
}

// drop ends a leg at once; its section is parked by the next round. A WHEP player knows no rounds: its leg falls silent and waits.
func (v *Viewer) drop(l *leg) {
	if v.settled {
		l.down.Switch(nil, nil)
		l.inc = 0
		return
	}
	v.outlets.Close(l.down)
	delete(v.legs, l.key)
	if l.placed {
		v.doomed = append(v.doomed, l.down)
		v.nego.Changed()
	}
}
