package link

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/sdpfrag"
)

func TestEndpoint(t *testing.T) {
	for want, cfg := range map[string]Config{
		"https://h:8443/pub/r/alice+1":        {URL: "https://h:8443", Room: "r", ID: "alice+1"},
		"https://h/prefix/pub/r/a?sub=manual": {URL: "https://h/prefix/", Room: "r", ID: "a", Query: url.Values{"sub": {"manual"}}},
		"http://h/whip?a=b&pub=x":             {Endpoint: "http://h/whip?a=b", Query: url.Values{"pub": {"x"}}},
	} {
		if got, err := cfg.endpoint("pub"); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	for _, cfg := range []Config{{}, {URL: "https://h", Room: "r"}, {URL: "h:8443", Room: "r", ID: "a"}, {URL: ":", Room: "r", ID: "a"}, {Endpoint: "https://"}} {
		if got, err := cfg.endpoint("pub"); err == nil {
			t.Errorf("%+v gives %q", cfg, got)
		}
	}
}

// What viewers offer is what browsers do, so that a server that is measured with them does all its work.
func TestWhatViewersOffer(t *testing.T) {
	enough := errors.New("enough")
	var offer string
	s, err := New(Config{LoopbackOnly: true, Exchange: func(_ context.Context, o string) (string, error) { offer = o; return "", enough }}, false, func(control.Message) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := s.PeerConnection().AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Open(t.Context(), "sub", nil); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	var audio, video string
	for _, section := range strings.Split(offer, "m=")[1:] {
		switch kind, _, _ := strings.Cut(section, " "); kind {
		case "audio":
			audio = section
		case "video":
			video = section
		}
	}
	for _, want := range []string{" rtx/90000", " nack\r", " nack pli\r", " transport-cc\r", sdp.TransportCCURI, sdp.SDESMidURI, " VP8/", " H264/", "a=recvonly"} {
		if !strings.Contains(video, want) {
			t.Errorf("the offer lacks %q for video:\n%s", want, offer)
		}
	}
	if !strings.Contains(audio, " transport-cc\r") || !strings.Contains(audio, sdp.TransportCCURI) || !strings.Contains(offer, "m=application") {
		t.Errorf("the offer lacks feedback for audio, or a data channel:\n%s", offer)
	}
}

// TestRestartAnswer turns a server's offer into the answer to our ICE restart.
func TestRestartAnswer(t *testing.T) {
	offer := strings.ReplaceAll(`v=0
o=- 1 2 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
a=ice-ufrag:sess
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:0
a=ice-ufrag:olduf
a=ice-pwd:oldpasswordoldpassword
a=candidate:1 1 udp 1 192.0.2.1 1 typ host
a=end-of-candidates
a=sendonly
a=msid:alice video0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=setup:actpass
a=mid:1
a=ice-ufrag:olduf
a=ice-pwd:oldpasswordoldpassword
a=sctp-port:5000
`, "\n", "\r\n")
	got, err := restartAnswer(offer, "active", sdpfrag.Fragment{Ufrag: "newuf", Pwd: "newpasswordnewpassword", Candidates: []string{"candidate:2 1 udp 1 192.0.2.2 2 typ host"}})
	if err != nil {
		t.Fatal(err)
	}
	for text, n := range map[string]int{
		"a=setup:active\r\n": 2, "actpass": 0, "old": 0, "a=ice-ufrag:sess": 0, "a=ice-ufrag:newuf\r\n": 2, "a=ice-pwd:newpasswordnewpassword\r\n": 2,
		"a=candidate:2 1 udp 1 192.0.2.2 2 typ host\r\n": 1, "192.0.2.1": 0, "a=msid:alice video0\r\n": 1, "a=sendonly\r\n": 1, "m=": 2, "end-of-candidates": 0,
	} {
		if strings.Count(got, text) != n {
			t.Errorf("%q is there %d times, want %d:\n%s", text, strings.Count(got, text), n, got)
		}
	}
	if _, err := restartAnswer("nonsense", "active", sdpfrag.Fragment{}); err == nil {
		t.Error("nonsense was taken")
	}
}
