// Package codecs lists the codecs and header extensions that the node passes through.
//
// Package peer asks it when it reads offers and builds connections. It holds no state and starts nothing.
package codecs

import (
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Header extensions that travel through the node; package fanout knows how to carry them.
const (
	extAudioLevel  = sdp.AudioLevelURI
	extOrientation = "urn:3gpp:video-orientation"
)

// videoCodecs pairs each video payload type with the one of its retransmissions (RFC 4588); the numbers are Chromium's.
var videoCodecs = []struct {
	mime, fmtp string
	pt, rtx    webrtc.PayloadType
}{
	{webrtc.MimeTypeVP8, "", 96, 97},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", 106, 107},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f", 102, 103},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f", 108, 109},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f", 104, 105},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f", 127, 125},
	{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f", 112, 113},
	{webrtc.MimeTypeVP9, "profile-id=0", 98, 99},
	{webrtc.MimeTypeVP9, "profile-id=2", 100, 101},
	{webrtc.MimeTypeAV1, "level-idx=5;profile=0;tier=0", 45, 46},
	{webrtc.MimeTypeH265, "level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST", 49, 50},
}

// MediaEngine makes one that knows every codec the node passes through. RED (RFC 2198) is none of them: its blocks name the payload type of
// the Opus inside, which differs from viewer to viewer, and nothing here rewrites payloads. Whoever prefers RED sends Opus then.
// Publishers get transport-wide congestion feedback, and viewers give it.
func MediaEngine(publisher bool) (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	twcc := webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}
	audioFB := []webrtc.RTCPFeedback{twcc}
	videoFB := []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}, twcc}
	audio := []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1", RTCPFeedback: audioFB}, PayloadType: 111},
	}
	for _, c := range audio {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	for _, c := range videoCodecs {
		media := webrtc.RTPCodecParameters{PayloadType: c.pt, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: c.mime, ClockRate: 90000, SDPFmtpLine: c.fmtp, RTCPFeedback: videoFB}}
		rtx := webrtc.RTPCodecParameters{PayloadType: c.rtx, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=" + strconv.Itoa(int(c.pt))}}
		for _, p := range []webrtc.RTPCodecParameters{media, rtx} {
			if err := m.RegisterCodec(p, webrtc.RTPCodecTypeVideo); err != nil {
				return nil, err
			}
		}
	}
	return m, registerExtensions(m, publisher)
}

func registerExtensions(m *webrtc.MediaEngine, publisher bool) error {
	exts := []struct {
		uri   string
		kinds []webrtc.RTPCodecType
	}{
		{sdp.TransportCCURI, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}},
		{extAudioLevel, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio}},
		{extOrientation, []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}},
	}
	direction := webrtc.RTPTransceiverDirectionSendonly
	if publisher {
		direction = webrtc.RTPTransceiverDirectionRecvonly
		both := []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}
		exts = append(exts, struct {
			uri   string
			kinds []webrtc.RTPCodecType
		}{sdp.SDESMidURI, both})
		for _, uri := range []string{sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI} {
			exts = append(exts, struct {
				uri   string
				kinds []webrtc.RTPCodecType
			}{uri, []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}})
		}
	}
	for _, e := range exts {
		for _, kind := range e.kinds {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: e.uri}, kind, direction); err != nil {
				return err
			}
		}
	}
	return nil
}

// Known reports whether a media type, "video/VP8", is that of a codec which the engine would negotiate.
func Known(mime string) bool {
	if strings.EqualFold(mime, webrtc.MimeTypeOpus) {
		return true
	}
	for _, c := range videoCodecs {
		if strings.EqualFold(mime, c.mime) {
			return true
		}
	}
	return false
}
