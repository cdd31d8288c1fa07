package peer

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"weever/shared/room"
)

// A connection that is closed while its answer is written leaves nothing behind, however far that has come; nor does one that was
// never answered, or whose offer could not be applied.
func TestClosedWhileItAnswers(t *testing.T) {
	client := player(t)
	for range 10 { // the answer takes a moment
		if _, err := client.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	desc, err := client.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := ParseOffer(room.Sub, desc.SDP)
	if err != nil {
		t.Fatal(err)
	}
	f := factory(t)
	before := goleak.IgnoreCurrent()
	for i := range 60 {
		pc, err := f.Accept(offer)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if i > 0 {
				_, _ = Answer(t.Context(), pc.PeerConnection)
			}
		}()
		<-time.After(time.Duration(i) * 50 * time.Microsecond)
		_ = pc.GracefulClose()
		<-done
	}
	goleak.VerifyNone(t, before)
}
