package down

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
)

// TestEverybodyAtOnce: streams that run, a session that switches, pauses and rebinds, a viewer that complains, pion that reads the
// msid. The output must stay one stream and every stream set must be released once.
func TestEverybodyAtOnce(t *testing.T) {
	w := &transport{codecs: vp8AndFriends, rtxSSRC: testRTX}
	track := newTrack(t, webrtc.RTPCodecTypeVideo, w)
	streams := make([]*fanout.Stream, 3)
	stop := make(chan struct{})
	var others sync.WaitGroup
	for i := range streams {
		p := newPublisher(t, "video/VP8", 90000)
		p.stream.WriteReport(fanout.SenderReport{NTP: 1, RTP: 1})
		streams[i] = p.stream
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				p.frame(n%7 == 0, 3)
				p.ts -= 2990
				if n%10 == 0 {
					p.stream.WriteReport(fanout.SenderReport{NTP: uint64(n), RTP: uint32(n)})
				}
			}
		})
	}
	others.Go(func() {
		pli, _ := (&rtcp.PictureLossIndication{MediaSSRC: testSSRC}).Marshal()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			track.HandleRTCP(append(nack(t, testSSRC, uint16(rand.Uint32())), pli...))
			track.SetMsid("a", "b")
			_ = track.ID() + track.StreamID()
			track.Stats()
		}
	})
	var set, released atomic.Int64
	var sessions sync.WaitGroup
	for range 3 {
		sessions.Go(func() {
			for range 150 {
				switch rand.IntN(6) {
				case 0:
					track.Pause(rand.IntN(2) == 0)
				case 1:
					if track.Unbind(w) == nil {
						_, _ = track.Bind(w)
					}
				default:
					set.Add(1)
					track.Switch(streams[rand.IntN(len(streams))], func() { released.Add(1) })
				}
				<-time.After(time.Millisecond)
			}
		})
	}
	sessions.Wait()
	track.Switch(nil, nil)
	close(stop)
	others.Wait()
	if set.Load() != released.Load() {
		t.Errorf("%d streams set, %d released", set.Load(), released.Load())
	}
	var media []sent
	for _, p := range w.take() {
		if p.SSRC == testSSRC {
			media = append(media, p)
		}
	}
	if len(media) < 100 {
		t.Fatalf("only %d packets", len(media))
	}
	continuous(t, media)
	for _, s := range streams {
		if n := s.Stats().Sinks; n != 0 {
			t.Errorf("%d sinks left", n)
		}
	}
}
