package viewer

import (
	"net/url"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/player"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/session/life"
	"weever/shared/room"
)

// This file is what a viewer without a control channel has instead: a WHEP player's events and its choice of a layer. The viewer's Run
// shows the player what it is sent and obeys its choice.

// newPlayer makes the player of a plain WHEP session. All its sections are audio or video.
func newPlayer(sources *player.Sources, e life.Entry, opt Options) *player.Player {
	cfg := player.Config{Sources: sources, Room: e.Room, URL: "/sub/" + e.Room.String() + "/" + e.Full.String()}
	if opt.Pub != "" {
		cfg.URL += "?" + url.Values{"pub": {opt.Pub}}.Encode()
	}
	for i, sec := range e.Offer.Sections {
		cfg.Mids = append(cfg.Mids, sec.Mid)
		if sec.Kind == webrtc.RTPCodecTypeVideo {
			cfg.Videos = append(cfg.Videos, i)
		}
	}
	return player.New(cfg)
}

// news is the channel to wait on; that of a viewer without a player never has any.
func (v *Viewer) news() <-chan struct{} {
	if v.player == nil {
		return nil
	}
	return v.player.Changed()
}

// show tells the player what it is sent, out of the publishers chosen for it.
func (v *Viewer) show(pubs []room.Publisher) {
	if v.player == nil {
		return
	}
	var scene player.Scene
	for _, p := range pubs {
		scene.Live = scene.Live || p.State == room.Live
	}
	for _, l := range v.legs {
		at := v.sections.PlaceOf(l.down)
		if l.track.Kind != "video" || at < 0 {
			continue
		}
		scene.Video = &player.Track{
			At: at, Rids: l.track.Layers, Playing: l.inc != 0, Owner: l.owner,
			Key: relay.Key{Room: v.ID.Room, Publisher: l.key.Pub, Inc: l.inc, Track: l.key.ID},
		}
	}
	v.player.Show(scene)
}
