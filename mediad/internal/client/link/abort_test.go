package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"weever/mediad/internal/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A session that ends while it is being opened leaves nothing behind, however far it has come.
func TestEndsWhileItOpens(t *testing.T) {
	ended := errors.New("ended")
	for i := range 60 {
		s, err := New(Config{LoopbackOnly: true, Exchange: func(context.Context, string) (string, error) { return "", ended }}, false, func(control.Message) {})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 { // the offer takes a moment
			if _, err := s.PeerConnection().AddTransceiverFromKind(webrtc.RTPCodecTypeVideo); err != nil {
				t.Fatal(err)
			}
		}
		timer := time.AfterFunc(time.Duration(i)*100*time.Microsecond, func() { s.Fail(ended) })
		if err := s.Open(t.Context(), "sub", nil); err == nil {
			t.Fatal("it has opened")
		}
		timer.Stop()
		<-s.Done()
	}
}
