package format

import (
	"testing"

	"github.com/pion/webrtc/v4"
)

func params(pt webrtc.PayloadType, mime, fmtp string) webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{PayloadType: pt, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, SDPFmtpLine: fmtp}}
}

// TestBest pairs codecs with their retransmissions and prefers an equal profile to one that will merely do.
func TestBest(t *testing.T) {
	list := Of([]webrtc.RTPCodecParameters{
		params(96, "video/VP8", ""), params(97, "video/rtx", "apt=96"),
		params(100, "video/VP9", "profile-id=2"), params(98, "video/VP9", "profile-id=0"), params(99, "video/rtx", "apt=98"),
	})
	if len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	for _, tc := range []struct {
		mime, fmtp string
		pt         webrtc.PayloadType
		rtx        uint8
		fits       bool
	}{
		{"video/vp8", "", 96, 97, true},
		{"video/VP9", "profile-id=0", 98, 99, true},
		{"video/VP9", "profile-id=2", 100, 0, true},
		{"video/AV1", "", 0, 0, false},
	} {
		f, fits := list.Best(tc.mime, tc.fmtp)
		if fits != tc.fits || f.Params.PayloadType != tc.pt || f.RTX != tc.rtx {
			t.Errorf("%s %s: %+v, %v", tc.mime, tc.fmtp, f, fits)
		}
	}
	if _, fits := List(nil).Best("video/VP8", ""); fits {
		t.Error("nothing negotiated takes VP8")
	}
}
