package main

import (
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// A viewer's client can put sound and picture together: of both tracks it gets sender reports, again and again, which name the track's own SSRC
// and one clock, wherever the publisher is.
func TestSenderReportsReachViewers(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	for i, n := range nodes {
		v := subscribe(t, n, "tea", "bob")
		plays(t, v, "alice", "video0")
		plays(t, v, "alice", "audio0")
		var mu sync.Mutex
		reports := map[webrtc.RTPCodecType][]*rtcp.SenderReport{}
		for _, receiver := range v.PeerConnection().GetReceivers() {
			track := receiver.Track()
			if track == nil {
				continue
			}
			go func() {
				for {
					packets, _, err := receiver.ReadRTCP()
					if err != nil { // closed
						return
					}
					for _, p := range packets {
						if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == uint32(track.SSRC()) {
							mu.Lock()
							reports[track.Kind()] = append(reports[track.Kind()], sr)
							mu.Unlock()
						}
					}
				}
			}()
		}
		await(t, "two reports of each track", 20*time.Second, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(reports[webrtc.RTPCodecTypeAudio]) > 1 && len(reports[webrtc.RTPCodecTypeVideo]) > 1
		})
		mu.Lock()
		for kind, clock := range map[webrtc.RTPCodecType]float64{webrtc.RTPCodecTypeAudio: 48000, webrtc.RTPCodecTypeVideo: 90000} {
			first, next := reports[kind][0], reports[kind][1]
			wall := float64(int64(next.NTPTime-first.NTPTime)) / (1 << 32)
			media := float64(int32(next.RTPTime-first.RTPTime)) / clock
			if wall < 0 || media-wall > 0.2 || wall-media > 0.2 {
				t.Errorf("node %d, %v: %.3f s by the wall's clock are %.3f s of media", i, kind, wall, media)
			}
		}
		audio, video := reports[webrtc.RTPCodecTypeAudio][0].NTPTime, reports[webrtc.RTPCodecTypeVideo][0].NTPTime
		if apart := float64(int64(audio-video)) / (1 << 32); apart > 10 || apart < -10 {
			t.Errorf("node %d: the clocks of sound and picture are %.3f s apart", i, apart)
		}
		mu.Unlock()
	}
}
