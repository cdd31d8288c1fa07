package link

import (
	"io"
	"net"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client/wire"
	"weever/mediad/internal/control"
)

// AudioLevelURI names the header extension of RFC 6464.
const AudioLevelURI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

// newPeer makes a PeerConnection over w that knows all of pion's codecs and has feedback for what its role needs, and no more:
// many subscribers share one process.
func newPeer(cfg *Config, w *wire.Wire, publisher bool) (*webrtc.PeerConnection, error) {
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	var err error
	if publisher {
		err = sendFeedback(media, registry)
	} else {
		err = receiveFeedback(media, registry)
	}
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings(cfg, w)))
	return api.NewPeerConnection(webrtc.Configuration{})
}

func settings(cfg *Config, w *wire.Wire) webrtc.SettingEngine {
	s := webrtc.SettingEngine{LoggerFactory: silence()}
	s.SetNet(w)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetIncludeLoopbackCandidate(true)
	s.SetSCTPMaxMessageSize(control.MaxMessage)
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetFireOnTrackBeforeFirstRTP(true) // one goroutine less for each track
	network := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if cfg.TCP {
		network = []webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6}
	}
	if cfg.LoopbackOnly {
		network = network[:1]
		s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	}
	s.SetNetworkTypes(network)
	return s
}

// silence is for pion's libraries: what matters of what they would log comes back as an error or ends the session.
func silence() logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
}

// sendFeedback answers NACKs, sends reports and numbers packets for TWCC; simulcast and audio levels can be negotiated.
func sendFeedback(media *webrtc.MediaEngine, registry *interceptor.Registry) error {
	feedbackTypes(media)
	responder, err := nack.NewResponderInterceptor(nack.WithResponderLoggerFactory(silence()))
	if err != nil {
		return err
	}
	reports, err := report.NewSenderInterceptor(report.WithSenderLoggerFactory(silence()))
	if err != nil {
		return err
	}
	registry.Add(responder)
	registry.Add(reports)
	if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI}, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: AudioLevelURI}, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(media); err != nil {
		return err
	}
	return webrtc.ConfigureTWCCHeaderExtensionSender(media, registry)
}

// receiveFeedback tells what arrived and when: by TWCC ten times a second, by reports once. Who reads the packets asks for what is lost.
func receiveFeedback(media *webrtc.MediaEngine, registry *interceptor.Registry) error {
	feedbackTypes(media)
	reports, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(silence()))
	if err != nil {
		return err
	}
	registry.Add(reports)
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		for _, uri := range []string{sdp.SDESMidURI, sdp.TransportCCURI} {
			if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				return err
			}
		}
	}
	arrivals, err := twcc.NewSenderInterceptor(twcc.WithLoggerFactory(silence()))
	if err != nil {
		return err
	}
	registry.Add(arrivals)
	return nil
}

// feedbackTypes adds to the codecs what a browser offers with them.
func feedbackTypes(media *webrtc.MediaEngine) {
	media.RegisterFeedback(webrtc.RTCPFeedback{Type: "nack"}, webrtc.RTPCodecTypeVideo)
	media.RegisterFeedback(webrtc.RTCPFeedback{Type: "nack", Parameter: "pli"}, webrtc.RTPCodecTypeVideo)
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		media.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, kind)
	}
}
