package viewer

import (
	"time"

	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/fanout/secure"
	"weever/mediad/internal/player"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/session/viewer/bandwidth"
	"weever/mediad/internal/session/viewer/wishes"
	"weever/shared/room"
)

// This file is which layer of a video a viewer is sent: the best that its client wants and its link carries.

// newSharing makes what knows of the link; out may be nil.
func (v *Viewer) newSharing(out *secure.Sender) *bandwidth.Sharing {
	cfg := bandwidth.Config{Outlets: v.outlets, Book: v.cfg.Links, Leg: func(key wishes.Track) *down.Track {
		if l := v.legs[key]; l != nil {
			return l.down
		}
		return nil
	}, Meter: func(t player.Track, changed chan<- struct{}) bandwidth.Meter { return v.cfg.Sources.Rates(t, changed) }}
	if out != nil {
		cfg.Link = out.Rate()
	}
	return bandwidth.New(cfg)
}

// offer tells the sharing which videos are wanted, the oldest publisher's first.
func (v *Viewer) offer(pubs []room.Publisher) {
	var videos []bandwidth.Video
	for _, p := range pubs {
		for _, t := range p.Tracks {
			key := wishes.Track{Pub: p.FullID, ID: t.ID}
			if t.Kind != "video" || !v.wishes.Wants(key) {
				continue
			}
			b := bandwidth.Video{Key: key, Off: v.wishes.Off(key), Track: player.Track{
				Rids: t.Layers, Owner: p.Owner, Key: relay.Key{Room: v.ID.Room, Publisher: key.Pub, Inc: p.Inc, Track: t.ID},
			}}
			b.Most, b.Pinned = v.most(key, t)
			videos = append(videos, b)
		}
	}
	v.share.Offer(time.Now(), videos)
}

// most is the best layer of t that the client wants: by the player's choice, or by the level asked for on the control channel. pinned says
// that it wants no other.
func (v *Viewer) most(key wishes.Track, t room.Track) (layer string, pinned bool) {
	if v.player != nil && t.Kind == "video" {
		if rid, ok := v.player.Layer(t.Layers); ok {
			return rid, v.player.Pinned()
		}
	}
	return v.wishes.Layer(key, t.Layers), false
}

// layerOf is the layer of t to send.
func (v *Viewer) layerOf(key wishes.Track, t room.Track) string {
	if layer, ok := v.share.Layer(key); ok {
		return layer
	}
	layer, _ := v.most(key, t)
	return layer
}
