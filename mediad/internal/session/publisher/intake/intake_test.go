package intake

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"weever/shared/room"
)

// pion announces a remote track anew for each SSRC that claims its layer, but reading it twice at once is for nobody: the first
// reader goes on, and a stream has one writer.
func TestOneReaderForOneTrack(t *testing.T) {
	t.Parallel()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.GracefulClose() }()
	in := New(Config{PC: pc})
	track := &webrtc.TrackRemote{}
	in.inputs = []*input{{mid: "0", track: room.Track{ID: "video0", Kind: track.Kind().String()}, remotes: map[string]*remote{"": {}}}}
	if _, ok := in.begin(track, nil); !ok {
		t.Fatal("the first reader was turned away")
	}
	if _, ok := in.begin(track, nil); ok {
		t.Error("a second reader of the same track was let in")
	}
	in.readers.Done()
	in.Wait()
}
