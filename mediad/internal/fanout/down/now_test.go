package down

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout/drop"
)

// TestSwitchNow: what was shown stops at once, not with the key frame of what comes, and the output is one stream all the same.
func TestSwitchNow(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cached bool
	}{{"whose key frame is cached", true}, {"without a key frame so far", false}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				track, w := newVideo(t)
				high, low := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
				low.seq, low.ts, low.pic = 5000, 1<<30, 300
				released, again := 0, 0
				track.Switch(high.stream, func() { released++ })
				high.frame(true, 2)
				if tc.cached {
					low.frame(true, 1)
				}
				track.SwitchNow(low.stream, func() { again++ })
				if released != 1 || high.stream.Stats().Sinks != 0 {
					t.Errorf("the high layer was released %d times, and has %d sinks", released, high.stream.Stats().Sinks)
				}
				high.frame(false, 5)
				<-time.After(time.Second / 30)
				synctest.Wait()
				low.frame(false, 1)
				if st := track.Stats(); low.wishes != 1 || st.Drops[drop.Waiting] != 1 || st.Packets != 2 {
					t.Errorf("%d key frames asked for, %d packets sent, drops %v", low.wishes, st.Packets, st.Drops)
				}
				low.frame(true, 1)
				if packets := w.take(); len(packets) != 3 {
					t.Errorf("%d packets", len(packets))
				} else {
					continuous(t, packets)
				}
				track.SwitchNow(low.stream, func() { again++ }) // it is shown already
				low.frame(false, 1)
				if n := len(w.take()); n != 1 || again != 1 {
					t.Errorf("%d packets after the same once more, released %d times", n, again)
				}
				track.Switch(nil, nil)
				high.stream.Close()
				low.stream.Close()
			})
		})
	}
}

// TestSwitchNowWhileRaised: a switch up that still waits for its key frame is called off, and what is shown goes on.
func TestSwitchNowWhileRaised(t *testing.T) {
	track, w := newVideo(t)
	high, low := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
	track.Switch(low.stream, nil)
	low.frame(true, 1)
	released := 0
	track.Switch(high.stream, func() { released++ })
	track.SwitchNow(low.stream, nil)
	high.frame(true, 1)
	low.frame(false, 1)
	if packets := w.take(); len(packets) != 2 || released != 1 {
		t.Errorf("%d packets, the high layer was released %d times", len(packets), released)
	}
}

// TestMeasurable: there is no use in measuring a viewer that gets no numbers.
func TestMeasurable(t *testing.T) {
	track, err := New(Config{Kind: webrtc.RTPCodecTypeAudio})
	if err != nil {
		t.Fatal(err)
	}
	if !track.Measurable() {
		t.Error("before anything is known")
	}
	if bound, _ := newVideo(t); bound.Measurable() { // by pion, and the numbers were not negotiated
		t.Error("without numbers")
	}
}
