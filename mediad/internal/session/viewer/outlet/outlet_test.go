package outlet

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/session/life"
)

// TestOutlets: tracks are counted while they are open and no longer, and closing twice is closing once.
func TestOutlets(t *testing.T) {
	var book Book
	o := New(Config{Book: &book, Clock: life.NewClock(time.Now(), life.Times{})})
	sound, err := o.Open(webrtc.RTPCodecTypeAudio)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := o.Open(webrtc.RTPCodecTypeVideo); err != nil {
			t.Fatal(err)
		}
	}
	if got := book.Read(); got["audio"].Live != 1 || got["video"].Live != 2 {
		t.Errorf("%+v", got)
	}
	o.Close(sound)
	o.Close(sound)
	if got := book.Read(); got["audio"].Live != 0 || got["video"].Live != 2 {
		t.Errorf("%+v", got)
	}
	o.CloseAll()
	if got := book.Read(); got["video"].Live != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := o.Open(0); err == nil {
		t.Error("a track that is neither audio nor video")
	}
}
