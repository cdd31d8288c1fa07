package viewer

import (
	"slices"
	"testing"

	"weever/mediad/internal/session/viewer/bandwidth"
	"weever/mediad/internal/session/viewer/wishes"
	"weever/shared/room"
	"weever/shared/room/roomtest"
)

// A publisher's layers come and go within one session. What a player is told of them, and may ask for, goes by the leg: it has to know
// of the change even where the layer that is shown stays the same.
func TestALegKnowsThePresentLayers(t *testing.T) {
	t.Parallel()
	key := wishes.Track{Pub: roomtest.FullID(t, "ann"), ID: "video0"}
	track := func(layers ...string) room.Track {
		return room.Track{ID: key.ID, Kind: "video", Codec: "video/VP8", Layers: layers}
	}
	v := &Viewer{wishes: wishes.New(wishes.Config{}), share: bandwidth.New(bandwidth.Config{})}
	l := &leg{key: key, inc: 1, track: track("h", "m", "l"), layer: "h"}
	for _, now := range []room.Track{track("h", "m"), track("h", "m", "l")} {
		if !v.follow(l, room.Publisher{FullID: key.Pub, Inc: 1, Tracks: []room.Track{now}}) {
			t.Fatalf("%v: the leg cannot go on", now.Layers)
		}
		if !slices.Equal(l.track.Layers, now.Layers) || l.layer != "h" {
			t.Errorf("it knows %v and shows %s, want %v", l.track.Layers, l.layer, now.Layers)
		}
	}
}
