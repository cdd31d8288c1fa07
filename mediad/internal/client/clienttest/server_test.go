package clienttest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"
)

// offer is what a client would POST that receives.
func offer(t *testing.T) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.GracefulClose() }()
	if _, err := pc.CreateDataChannel("control", nil); err != nil {
		t.Fatal(err)
	}
	for range 20 { // it takes a moment to take them in
		if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(o); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return pc.LocalDescription().SDP
}

// A server that stops while it answers a POST leaves nothing behind, however far it has come with the answer.
func TestStopsInTheMiddleOfAPost(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	text := offer(t)
	for i := range 20 {
		posted := make(chan struct{})
		t.Run("server", func(t *testing.T) {
			s := New(t, "")
			go func() {
				defer close(posted)
				resp, err := http.Post(s.URL+"/sub/tea/alice", "application/sdp", strings.NewReader(text))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}()
			select {
			case <-time.After(time.Duration(i) * 1500 * time.Microsecond):
			case <-posted:
			}
		})
		<-posted
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, ignore)
}
