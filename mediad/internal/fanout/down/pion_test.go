package down

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	pionnack "github.com/pion/interceptor/pkg/nack"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
)

// lossy is an interceptor that loses one media packet in ten, before anybody else sees them.
type lossy struct {
	interceptor.NoOp
	lost atomic.Int64
}

func (l *lossy) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *lossy) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	if info.MimeType == webrtc.MimeTypeRTX {
		return reader
	}
	n := 0
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		for {
			size, attributes, err := reader.Read(b, a)
			if n++; err != nil || n < 20 || n%10 != 0 {
				return size, attributes, err
			}
			l.lost.Add(1)
		}
	})
}

func newPeer(t *testing.T, interceptors ...interceptor.Factory) *webrtc.PeerConnection {
	t.Helper()
	var engine webrtc.MediaEngine
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	for _, i := range interceptors {
		registry.Add(i)
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	return pc
}

// negotiate lets offerer offer.
func negotiate(t *testing.T, offerer, answerer *webrtc.PeerConnection) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	offer, err := offerer.CreateOffer(nil)
	check(err)
	gathered := webrtc.GatheringCompletePromise(offerer)
	check(offerer.SetLocalDescription(offer))
	<-gathered
	check(answerer.SetRemoteDescription(*offerer.LocalDescription()))
	answer, err := answerer.CreateAnswer(nil)
	check(err)
	gathered = webrtc.GatheringCompletePromise(answerer)
	check(answerer.SetLocalDescription(answer))
	<-gathered
	check(offerer.SetRemoteDescription(*answerer.LocalDescription()))
}

// TestWithPion sends through a real pair of PeerConnections to a viewer that loses a tenth of the packets and gets them all by RTX,
// beginning with the key frame that was sent before the connection was up.
func TestWithPion(t *testing.T) {
	loss := &lossy{}
	asker, err := pionnack.NewGeneratorInterceptor(pionnack.GeneratorInterval(10 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	node, viewer := newPeer(t), newPeer(t, loss, asker)
	track, err := New(Config{Kind: webrtc.RTPCodecTypeVideo, WriteRTCP: node.WriteRTCP})
	if err != nil {
		t.Fatal(err)
	}
	track.SetMsid("alice", "video0")
	tr, err := node.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t, "video/VP8", 90000)
	p.stream.WriteReport(fanout.SenderReport{NTP: 1 << 32, RTP: 1})
	p.frame(true, 3)
	track.Switch(p.stream, nil)
	defer track.Switch(nil, nil)

	received := make(chan *rtp.Packet, 1000)
	report := make(chan *rtcp.SenderReport, 10)
	viewer.OnTrack(func(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		if remote.StreamID() != "alice" || remote.ID() != "video0" || remote.Codec().MimeType != webrtc.MimeTypeVP8 {
			t.Errorf("track %q of %q with %s", remote.ID(), remote.StreamID(), remote.Codec().MimeType)
		}
		go func() {
			for {
				packets, _, err := receiver.ReadRTCP()
				if err != nil {
					return
				}
				for _, packet := range packets {
					if sr, ok := packet.(*rtcp.SenderReport); ok {
						report <- sr
					}
				}
			}
		}()
		for {
			packet, _, err := remote.ReadRTP()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return
			}
			received <- packet
		}
	})
	node.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			track.Start()
		}
	})
	negotiate(t, node, viewer)
	go func() {
		buf := make([]byte, 1500)
		for {
			n, _, err := tr.Sender().Read(buf)
			if err != nil {
				return
			}
			track.HandleRTCP(buf[:n])
		}
	}()

	// The stream goes on until all of the first packets are there: pion hands out what came by RTX only when more media comes.
	const want = 243
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	seen := make(map[uint16]bool)
	first, limit := 0, time.After(20*time.Second)
	for count := 0; count < want; {
		select {
		case <-tick.C:
			if len(seen) >= 3 { // the key frame is there
				p.frame(false, 2)
			}
		case packet := <-received:
			if len(seen) == 0 {
				first = int(packet.SequenceNumber)
			}
			if !seen[packet.SequenceNumber] && int(packet.SequenceNumber) < first+want {
				count++
			}
			seen[packet.SequenceNumber] = true
		case <-limit:
			t.Fatalf("%d packets after 20 s, want %d; %d lost; stats %+v", count, want, loss.lost.Load(), track.Stats())
		}
	}
	if loss.lost.Load() == 0 || track.Stats().Resent == 0 {
		t.Errorf("%d packets were lost, %d sent again: the test tested nothing", loss.lost.Load(), track.Stats().Resent)
	}
	select {
	case sr := <-report:
		if sr.NTPTime>>32 < 1 || sr.PacketCount == 0 {
			t.Errorf("sender report %+v", sr)
		}
	case <-limit:
		t.Error("no sender report came")
	}
}
