package peer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout/headerext"
	"weever/shared/room"
)

// TestSources: what a section declares of its SSRCs, and what of it is left out.
func TestSources(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "a=ssrc:%d cname:x\r\n", i+1)
	}
	for name, c := range map[string]struct {
		lines string
		want  map[uint32]uint32
	}{
		"none":                   {"", map[uint32]uint32{}},
		"one":                    {"a=ssrc:4294967295 cname:x\r\na=ssrc:4294967295 msid:a b\r\n", map[uint32]uint32{4294967295: 0}},
		"with its repeats":       {"a=ssrc-group:FID 1 2\r\na=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\n", map[uint32]uint32{1: 0, 2: 1}},
		"the group last":         {"a=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\na=ssrc-group:FID 1 2\r\n", map[uint32]uint32{1: 0, 2: 1}},
		"the group alone":        {"a=ssrc-group:FID 1 2\r\n", map[uint32]uint32{2: 1}},
		"other groups":           {"a=ssrc-group:SIM 1 2\r\na=ssrc-group:FEC-FR 1 3\r\na=ssrc-group:FID 1 2 3\r\na=ssrc-group:FID 1\r\n", map[uint32]uint32{}},
		"no numbers":             {"a=ssrc:x cname:x\r\na=ssrc:4294967296 cname:x\r\na=ssrc:\r\na=ssrc-group:FID -1 2\r\na=ssrc-group:FID 1 x\r\n", map[uint32]uint32{}},
		"more than anybody uses": {many.String(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := ParseOffer(room.Pub, strings.Replace(head, "0 1", "0", 1)+video("0", "sendonly")+c.lines)
			if err != nil {
				t.Fatal(err)
			}
			got := o.Sections[0].Sources
			if c.want == nil && len(got) != maxSources || c.want != nil && !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestNegotiated: codecs, what repeats them, and extensions, of each section.
func TestNegotiated(t *testing.T) {
	t.Parallel()
	text := head + audio("0", "recvonly") + "a=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
		"a=extmap:1 " + sdp.AudioLevelURI + "\r\na=extmap:3/recvonly " + sdp.TransportCCURI + " more\r\na=extmap:x " + sdp.SDESMidURI + "\r\na=extmap:300 " + sdp.SDESMidURI + "\r\n" +
		strings.Replace(video("1", "recvonly"), "SAVPF 96", "SAVPF 96 97 98 99 63 64 65 66 67 200", 1) +
		"a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
		"a=rtpmap:98 H264/90000\r\na=fmtp:98 packetization-mode=1\r\na=rtpmap:99 RTX/90000\r\na=fmtp:99 rtx-time=3000; apt=98\r\n" +
		"a=rtpmap:63 red/90000\r\na=rtpmap:64 rtx/90000\r\na=fmtp:64 apt=200\r\na=rtpmap:65 rtx/90000\r\na=fmtp:66 apt=96\r\na=rtpmap:67 VP9\r\na=fmtp:67 apt=96\r\n" +
		"a=extmap:4 " + sdp.SDESMidURI + "\r\na=extmap:10 " + sdp.SDESRTPStreamIDURI + "\r\na=extmap:11 " + sdp.SDESRepairRTPStreamIDURI + "\r\n"
	got := Negotiated(text)
	if len(got) != 2 {
		t.Fatalf("%d sections", len(got))
	}
	sound, pictures := got["0"], got["1"]
	if len(sound.Codecs) != 1 || len(sound.Repeats) != 0 {
		t.Fatalf("sound: %+v", sound)
	}
	c := sound.Codecs[0]
	if c.MimeType != "audio/opus" || c.PayloadType != 111 || c.ClockRate != 48000 || c.Channels != 2 || c.SDPFmtpLine != "minptime=10;useinbandfec=1" ||
		!slices.Equal(c.RTCPFeedback, []webrtc.RTCPFeedback{{Type: "transport-cc"}}) {
		t.Errorf("sound: %+v", c)
	}
	if ids := headerext.Of(sound.Extensions); ids != (headerext.IDs{Level: 1, Wide: 3}) {
		t.Errorf("extensions of sound: %+v", ids)
	}
	var names []string
	for _, c := range pictures.Codecs {
		names = append(names, fmt.Sprint(c.PayloadType, " ", c.MimeType, " ", c.SDPFmtpLine, len(c.RTCPFeedback)))
	}
	if want := []string{"96 video/VP8 2", "98 video/H264 packetization-mode=10"}; !slices.Equal(names, want) {
		t.Errorf("codecs: %q, want %q", names, want)
	}
	if want := map[uint8]uint8{97: 96, 99: 98}; !maps.Equal(pictures.Repeats, want) {
		t.Errorf("repeats: %v, want %v", pictures.Repeats, want)
	}
	if ids := headerext.Of(pictures.Extensions); ids != (headerext.IDs{Mid: 4, Rid: 10, Repaired: 11}) {
		t.Errorf("extensions of pictures: %+v", ids)
	}
	if got := Negotiated("hello"); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// TestAnswersSayHowToRead: the node's own answer to an offer in which everything has unusual numbers.
func TestAnswersSayHowToRead(t *testing.T) {
	t.Parallel()
	text := answered(t, strings.Replace(head, "0 1", "0", 1)+strings.Replace(video("0", "sendonly"), "SAVPF 96", "SAVPF 96 121", 1)+
		"a=rtcp-fb:96 nack\r\na=rtcp-fb:96 transport-cc\r\na=rtpmap:121 rtx/90000\r\na=fmtp:121 apt=96\r\n"+
		"a=extmap:7 "+sdp.SDESMidURI+"\r\na=extmap:8 "+sdp.SDESRTPStreamIDURI+"\r\na=extmap:9 "+sdp.SDESRepairRTPStreamIDURI+"\r\na=extmap:12 "+sdp.TransportCCURI+"\r\n")
	m := Negotiated(text)["0"]
	if want := (map[uint8]uint8{121: 96}); !maps.Equal(m.Repeats, want) {
		t.Errorf("repeats: %v, want %v in\n%s", m.Repeats, want, text)
	}
	if ids := headerext.Of(m.Extensions); ids != (headerext.IDs{Mid: 7, Rid: 8, Repaired: 9, Wide: 12}) {
		t.Errorf("extensions: %+v in\n%s", ids, text)
	}
	if len(m.Codecs) != 1 || !slices.Contains(m.Codecs[0].RTCPFeedback, webrtc.RTCPFeedback{Type: "nack"}) {
		t.Errorf("codecs: %+v", m.Codecs)
	}
}
