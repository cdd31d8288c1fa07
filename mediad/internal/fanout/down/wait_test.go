package down

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
)

// TestBegan: the wait for a key frame is told once for each stream, from when it could have begun, and not while it has not.
func TestBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		w := &transport{codecs: vp8AndFriends}
		track, err := New(Config{Kind: webrtc.RTPCodecTypeVideo, Began: func(d time.Duration) { waits = append(waits, d) }})
		if err != nil {
			t.Fatal(err)
		}
		a, b := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
		track.Switch(a.stream, nil)
		<-time.After(time.Second) // the transport is not up: nobody waits for a key frame yet
		if _, err := track.Bind(w); err != nil {
			t.Fatal(err)
		}
		track.Start()
		a.frame(false, 1)
		<-time.After(70 * time.Millisecond)
		a.frame(true, 3)
		a.frame(true, 1)
		track.Switch(b.stream, nil)
		<-time.After(30 * time.Millisecond)
		a.frame(false, 1)
		b.frame(true, 2)
		b.seq += 3000 // a hole as large as a new sender makes
		<-time.After(10 * time.Millisecond)
		b.frame(false, 1)
		<-time.After(20 * time.Millisecond)
		b.frame(true, 1)
		if want := []time.Duration{70 * time.Millisecond, 30 * time.Millisecond, 20 * time.Millisecond}; !slices.Equal(waits, want) {
			t.Errorf("waited %v, want %v", waits, want)
		}
		track.Switch(nil, nil)
		a.stream.Close()
		b.stream.Close()
	})
}
