package session

import (
	"net/url"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/player"
	"weever/mediad/internal/relay"
	"weever/shared/apierr"
	"weever/shared/room"
)

// This file is what a viewer without a control channel has instead: a WHEP player's events and its choice of a layer. The viewer's run
// shows the player what it is sent and obeys its choice.

// newPlayer makes the player of a plain WHEP session. All its sections are audio or video.
func (s *Service) newPlayer(e Entry, opt SubOptions) *player.Player {
	cfg := player.Config{Sources: s.sources, Room: e.Room, URL: "/sub/" + e.Room.String() + "/" + e.Full.String()}
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
func (v *viewer) news() <-chan struct{} {
	if v.player == nil {
		return nil
	}
	return v.player.Changed()
}

// show tells the player what it is sent, out of the publishers chosen for it.
func (v *viewer) show(pubs []room.Publisher) {
	if v.player == nil {
		return
	}
	var scene player.Scene
	for _, p := range pubs {
		scene.Live = scene.Live || p.State == room.Live
	}
	for _, l := range v.legs {
		at := v.sections.placeOf(l.down)
		if l.track.Kind != "video" || at < 0 {
			continue
		}
		scene.Video = &player.Track{
			At: at, Rids: l.track.Layers, Playing: l.inc != 0, Owner: l.owner,
			Key: relay.Key{Room: v.id.room, Publisher: l.key.pub, Inc: l.inc, Track: l.key.track},
		}
	}
	v.player.Show(scene)
}

// layerOf chooses a layer of t for a leg: by the player's choice, or by the level asked for on the control channel.
func (v *viewer) layerOf(key legKey, t room.Track) string {
	if v.player != nil && t.Kind == "video" {
		if rid, ok := v.player.Layer(t.Layers); ok {
			return rid
		}
		return layerFor(t.Layers, control.LevelAuto)
	}
	return layerFor(t.Layers, v.levels[key])
}

// Player gives the player of a session that runs here under that very room and full id. Multistream sessions have none.
func (s *Service) Player(rm room.Name, full room.FullID, session string) (*player.Player, error) {
	r, err := s.find(room.Sub, rm, full, session)
	if err != nil {
		return nil, err
	}
	if v, ok := r.(*viewer); ok && v.player != nil {
		return v.player, nil
	}
	return nil, apierr.New(apierr.NotFound, "this session has no events and layers over HTTP; it has its control channel")
}

// Reconnect tells every WHEP player of this node to start anew, because their sessions here will end.
func (s *Service) Reconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.sessions {
		if v, ok := r.(*viewer); ok && v.player != nil {
			v.player.Reconnect()
		}
	}
}
