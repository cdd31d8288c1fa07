package probe

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/link"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
)

// patience is how long the publisher of PublishTo waits for an HTTP reply.
const patience = 10 * time.Second

// Exchange carries an offer to the server and brings its answer.
type Exchange func(ctx context.Context, offer string) (answer string, err error)

// Live is a session whose media flows: synthetic tracks of ours, or whatever the server has to play. Its owner must end it with
// one of the methods of link.Session; HTTP is not its affair.
type Live struct {
	*link.Session
	counts func() (received, feedback uint64)
}

// Received is the number of packets that have come: RTCP of a publisher's, RTP of a player's. It grows as long as the server lives.
func (l *Live) Received() uint64 {
	n, _ := l.counts()
	return n
}

// Feedback tells of transport-wide congestion control: how many reports a publisher has got, or how many of a player's packets
// were numbered for it.
func (l *Live) Feedback() uint64 {
	_, n := l.counts()
	return n
}

// Publish opens a session that sends Opus and a video codec, given by its name in SDP, and returns when it is connected.
func Publish(ctx context.Context, exchange Exchange, codec string) (*Live, error) {
	tracks := []client.Track{client.Microphone()}
	for _, known := range []synth.Codec{synth.VP8, synth.H264, synth.VP9, synth.AV1} {
		if strings.EqualFold(string(known), "video/"+codec) {
			tracks = append(tracks, client.Camera(known, synth.Burst))
		}
	}
	p, err := client.Publish(ctx, client.Config{NoControl: true, Exchange: exchange}, tracks...)
	if err != nil {
		return nil, err
	}
	return &Live{p.Session, func() (received, feedback uint64) {
		for _, s := range p.Sent() {
			received += s.RTCP
			feedback += s.TWCC
		}
		return received, feedback
	}}, nil
}

// PublishTo opens a session at a WHIP endpoint that sends until it is closed: something to play.
func PublishTo(ctx context.Context, endpoint, token string, transport http.RoundTripper) (*client.Publisher, error) {
	cfg := client.Config{Endpoint: endpoint, Token: token, NoControl: true, HTTP: &http.Client{Transport: transport, Timeout: patience}}
	return client.Publish(ctx, cfg, client.Microphone(), client.Camera(synth.VP8, synth.Burst))
}

// Play opens a session that receives audio and video, and returns when it is connected.
func Play(ctx context.Context, exchange Exchange) (*Live, error) {
	var packets, numbered atomic.Uint64
	s, err := player(exchange)
	if err != nil {
		return nil, err
	}
	s.PeerConnection().OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		s.Go(func() {
			id := uint8(0) // of the transport-wide sequence number; 0: not negotiated
			for _, h := range receiver.GetParameters().HeaderExtensions {
				if h.URI == sdp.TransportCCURI && h.ID > 0 && h.ID < 256 {
					id = uint8(h.ID) //nolint:gosec // just checked
				}
			}
			for {
				p, _, err := track.ReadRTP()
				if err != nil {
					return
				}
				packets.Add(1)
				if id > 0 && p.GetExtension(id) != nil {
					numbered.Add(1)
				}
			}
		})
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		init := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := s.PeerConnection().AddTransceiverFromKind(kind, init); err != nil {
			s.Abort(err)
			return nil, err
		}
	}
	if err := s.Open(ctx, "sub", nil); err != nil {
		return nil, err
	}
	return &Live{s, func() (uint64, uint64) { return packets.Load(), numbered.Load() }}, nil
}

// Accept makes the answer of a player to a server's offer and hands it to send; the session is closed when that returns.
func Accept(offer string, send func(answer string) error) error {
	s, err := player(nil)
	if err != nil {
		return err
	}
	defer s.Hangup()
	var failed error
	s.Answer(offer, func(*sdp.SessionDescription) {}, func(answer string) error {
		failed = send(answer)
		return failed
	})
	if failed != nil {
		return failed
	}
	return s.Err()
}

func player(exchange Exchange) (*link.Session, error) {
	return link.New(link.Config{NoControl: true, Exchange: exchange}, false, func(control.Message) {})
}

// VideoCodec is the first codec of an answer's video sections that a synthetic publisher can send; empty when there is none.
func (a *Answer) VideoCodec() string {
	for _, m := range a.Media {
		for _, name := range m.Codecs {
			if m.Kind == "video" && slices.Contains([]string{"VP8", "H264", "VP9", "AV1"}, strings.ToUpper(name)) {
				return strings.ToUpper(name)
			}
		}
	}
	return ""
}
