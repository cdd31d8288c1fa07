package storm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"weever/shared/testkit/guest"
)

// WatchPlain opens players as they are made with pion's defaults in an afternoon. They have a habit: they go on asking for what came on
// the retransmission stream, ten times a second.
func (g *Guest) WatchPlain(v Visit, _ *guest.Nothing) error {
	ctx, cancel := context.WithTimeout(g.life, joinLimit)
	defer cancel()
	for i := range v.Viewers {
		e := newEar()
		g.ears = append(g.ears, e)
		if err := g.plain(ctx, fmt.Sprintf("%s/sub/%s/%s%d?pub=alice", v.URL, v.Room, v.Name, i), e); err != nil {
			return err
		}
	}
	return nil
}

// plain opens one and returns when it is connected.
func (g *Guest) plain(ctx context.Context, url string, e *ear) error {
	settings := webrtc.SettingEngine{}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return err
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	g.leave = append(g.leave, func() { _ = pc.GracefulClose() })
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			e.note("alice", track.Kind().String()+"0", p, time.Now())
		}
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(pc.LocalDescription().SDP))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/sdp")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	if err == nil {
		err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)})
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(e.list()) < 2 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of 2 tracks came to a player: %w", len(e.list()), ctx.Err())
		}
	}
	return nil
}
