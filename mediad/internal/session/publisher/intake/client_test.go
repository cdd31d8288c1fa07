package intake

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer"
	"weever/shared/eventually"
	"weever/shared/room"
)

// lossy is a client's network: some packets of video do not get through at first. It implements interceptor.Factory.
type lossy struct {
	interceptor.NoOp

	mu   sync.Mutex
	lost map[uint16]bool // numbers; true: sent once
}

// loses reports whether a packet is to be lost: each ninth, and three in a row.
func loses(seq uint16) bool { return seq%9 == 4 || seq%100 >= 50 && seq%100 < 53 }

func (l *lossy) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *lossy) BindLocalStream(info *interceptor.StreamInfo, to interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if h.SSRC == info.SSRC && strings.EqualFold(info.MimeType, webrtc.MimeTypeVP8) {
			l.mu.Lock()
			again := l.lost[h.SequenceNumber]
			l.lost[h.SequenceNumber] = true
			l.mu.Unlock()
			if loses(h.SequenceNumber) && !again {
				return len(payload), nil
			}
		}
		return to.Write(h, payload, a)
	})
}

// heard is what a client is told of a track.
type heard struct {
	mu      sync.Mutex
	asked   map[uint16]bool
	reports []rtcp.ReceptionReport
	wide    int // transport-wide reports
}

// listen reads it until the connection is closed.
func (h *heard) listen(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		h.mu.Lock()
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.TransportLayerNack:
				for _, pair := range p.Nacks {
					for _, seq := range pair.PacketList() {
						h.asked[seq] = true
					}
				}
			case *rtcp.ReceiverReport:
				h.reports = append(h.reports, p.Reports...)
			case *rtcp.TransportLayerCC:
				h.wide++
			}
		}
		h.mu.Unlock()
	}
}

// client publishes sound and VP8.
type client struct {
	pc           *webrtc.PeerConnection
	sound, video *webrtc.TrackLocalStaticRTP
	told         map[string]*heard // by kind
}

func newClient(t *testing.T) *client {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	me, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	check(me.RegisterDefaultCodecs())
	registry.Add(&lossy{lost: map[uint16]bool{}})
	check(webrtc.ConfigureNack(me, registry))
	check(webrtc.ConfigureRTCPReports(registry))
	check(webrtc.ConfigureTWCCHeaderExtensionSender(me, registry))
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		me.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, kind)
	}
	se := webrtc.SettingEngine{}
	se.SetIncludeLoopbackCandidate(true)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	c := &client{told: map[string]*heard{}}
	var err error
	c.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	check(err)
	var readers sync.WaitGroup
	t.Cleanup(func() {
		_ = c.pc.GracefulClose()
		readers.Wait()
	})
	c.sound, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "sound", "client")
	check(err)
	c.video, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "client")
	check(err)
	for _, track := range []*webrtc.TrackLocalStaticRTP{c.sound, c.video} {
		sender, err := c.pc.AddTrack(track)
		check(err)
		h := &heard{asked: map[uint16]bool{}}
		c.told[track.Kind().String()] = h
		readers.Go(func() { h.listen(sender) })
	}
	return c
}

// connect has the client publish on a node; setup is what its offer says of DTLS.
func (c *client) connect(t *testing.T, n *node, setup string) *stage {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	desc, err := c.pc.CreateOffer(nil)
	check(err)
	gathered := webrtc.GatheringCompletePromise(c.pc)
	check(c.pc.SetLocalDescription(desc))
	<-gathered
	text := strings.ReplaceAll(c.pc.LocalDescription().SDP, "a=setup:actpass", "a=setup:"+setup)
	o, err := peer.ParseOffer(room.Pub, text)
	check(err)
	ours, err := n.peers.Accept(o)
	check(err)
	s := n.stage(t, ours)
	if (ours.In == nil) != (setup == "passive") {
		t.Fatalf("who is %s is received past pion: %v", setup, ours.In != nil)
	}
	if ours.In != nil {
		ours.In.Deliver(s)
	} else {
		ours.OnTrack(s.Accept)
	}
	answer, err := peer.Answer(t.Context(), ours.PeerConnection)
	check(err)
	check(s.Declare(o.Sections, answer))
	up := make(chan struct{}, 8)
	c.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			up <- struct{}{}
		}
	})
	check(c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	<-up
	eventually.True(t, limit, "our side to be connected", func() bool { return ours.ConnectionState() == webrtc.PeerConnectionStateConnected })
	return s
}

// TestClient: what a real client sends arrives, what is lost is asked for and sent again, and the client is told how it goes: past pion, and
// through pion, where the client leaves the DTLS client's role to the node, as FFmpeg does.
func TestClient(t *testing.T) {
	for _, setup := range []string{"actpass", "passive"} {
		t.Run(setup, func(t *testing.T) {
			c := newClient(t)
			s := c.connect(t, newNode(t), setup)
			sound, video := s.watch("audio0"), s.watch("video0")
			const count = 300
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			write := func(i uint16) {
				for _, track := range []*webrtc.TrackLocalStaticRTP{c.sound, c.video} {
					p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 65400 + i, Timestamp: uint32(i) * 450, Marker: true}, Payload: []byte{0x10, 1, byte(i)}}
					if err := track.WriteRTP(p); err != nil {
						t.Fatal(err)
					}
				}
				<-tick.C
			}
			for i := range uint16(count) {
				write(i)
			}
			<-s.First()
			all := func(v *viewer) func() bool {
				return func() bool {
					seqs := v.seqs()
					for i := range uint16(count) {
						if !slices.Contains(seqs, 65400+i) {
							return false
						}
					}
					return len(seqs) == count
				}
			}
			if setup == "passive" { // pion needs some packets to find out whose they are
				all = func(v *viewer) func() bool {
					return func() bool {
						seqs := v.seqs()
						for i := range uint16(count - 100) {
							if !slices.Contains(seqs, 65500+i) {
								return false
							}
						}
						return true
					}
				}
			}
			eventually.True(t, limit, "all the sound", all(sound))
			eventually.True(t, limit, "all the video, once", all(video))
			lost := 0
			h := c.told["video"]
			h.mu.Lock()
			for i := uint16(110); i < count; i++ {
				if seq := 65400 + i; loses(seq) {
					lost++
					if !h.asked[seq] {
						t.Errorf("packet %d was not asked for", seq)
					}
				} else if h.asked[seq] {
					t.Errorf("packet %d was asked for, which came", seq)
				}
			}
			h.mu.Unlock()
			if lost < 10 {
				t.Errorf("%d packets were lost: too few to tell", lost)
			}
			// With a report of the client's own, of which the node's then tell.
			next := uint16(count)
			eventually.True(t, limit, "reports of both tracks, of what was lost, and of the client's own", func() bool {
				write(next)
				next++
				told := func(kind string, is func(rtcp.ReceptionReport) bool) bool {
					h := c.told[kind]
					h.mu.Lock()
					defer h.mu.Unlock()
					return h.wide > 0 && slices.ContainsFunc(h.reports, is)
				}
				return told("audio", func(r rtcp.ReceptionReport) bool { return r.LastSenderReport != 0 && r.TotalLost == 0 }) &&
					told("video", func(r rtcp.ReceptionReport) bool { return r.TotalLost > 0 }) &&
					told("video", func(r rtcp.ReceptionReport) bool { return r.LastSenderReport != 0 })
			})
			s.mu.Lock()
			defer s.mu.Unlock()
			if again := slices.ContainsFunc(lanesOf(s), func(l *lane) bool { return l.repeats != nil }); again == (setup == "passive") {
				t.Errorf("the client's RTX was taken apart here: %v", again)
			}
		})
	}
}
