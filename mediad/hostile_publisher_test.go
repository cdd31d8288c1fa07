package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client"
	"weever/shared/auth"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// bareTrack hands out pion's write side, so that a test can send whatever packets it likes.
type bareTrack struct {
	bound chan webrtc.TrackLocalContext
}

func (b *bareTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	b.bound <- c
	for _, p := range c.CodecParameters() {
		if p.MimeType == webrtc.MimeTypeVP8 {
			return p, nil
		}
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}
func (b *bareTrack) Unbind(webrtc.TrackLocalContext) error { return nil }
func (b *bareTrack) ID() string                            { return "v" }
func (b *bareTrack) RID() string                           { return "" }
func (b *bareTrack) StreamID() string                      { return "s" }
func (b *bareTrack) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeVideo }

// barePublisher POSTs a camera's offer, edited, and returns the write side when the connection is up.
func barePublisher(t *testing.T, n *testNode, path string, edit func(string) string) webrtc.TrackLocalContext {
	t.Helper()
	me := &webrtc.MediaEngine{}
	if err := me.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	se := webrtc.SettingEngine{}
	se.SetIncludeLoopbackCandidate(true)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	track := &bareTrack{bound: make(chan webrtc.TrackLocalContext, 1)}
	if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	r := do(t, http.MethodPost, n.PublicURL()+path, edit(pc.LocalDescription().SDP), sdpHeader)
	if r.status != http.StatusCreated {
		t.Fatalf("%+v", r)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: r.body}); err != nil {
		t.Fatal(err)
	}
	await(t, "the connection", 5*time.Second, func() bool { return pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
	return <-track.bound
}

// send writes VP8 key frames of one packet each under any payload type.
func send(c webrtc.TrackLocalContext, pt uint8, first, count uint16) {
	for seq := first; seq < first+count; seq++ {
		h := &rtp.Header{Version: 2, SSRC: uint32(c.SSRC()), PayloadType: pt, SequenceNumber: seq, Timestamp: uint32(seq) * 3000, Marker: true}
		_, _ = c.WriteStream().WriteRTP(h, []byte{0x10, 0, 0, 0, 0x9d, 1, 0x2a, 1, 2, 3, 4, 5, 6, 7, 8})
	}
}

func records(t *testing.T, n *testNode, rm string) []room.Publisher {
	t.Helper()
	pubs, err := n.store.Publishers(t.Context(), roomtest.Name(t, rm))
	if err != nil {
		t.Fatal(err)
	}
	return pubs
}

var ssrcLines = regexp.MustCompile(`a=ssrc[^\r]*\r\n`)

// An offer without SSRCs works as long as there is one section for them to belong to.
func TestPublisherWithoutSSRCs(t *testing.T) {
	n := startNodes(t, 1)[0]
	c := barePublisher(t, n, "/pub/tea/alice", func(s string) string { return ssrcLines.ReplaceAllString(s, "") })
	from := uint16(0)
	await(t, "the publisher to be live", 5*time.Second, func() bool {
		send(c, 96, from, 10)
		from += 10
		return len(records(t, n, "tea")) == 1
	})
}

// A packet of a payload type that nobody negotiated is dropped; the track goes on.
func TestStrayPacketDoesNotEndATrack(t *testing.T) {
	n := startNodes(t, 1)[0]
	c := barePublisher(t, n, "/pub/tea/alice", func(s string) string { return s })
	from := uint16(0)
	burst := func(pt uint8) {
		send(c, pt, from, 10)
		from += 10
	}
	await(t, "the publisher to be live", 5*time.Second, func() bool { burst(96); return len(records(t, n, "tea")) == 1 })
	v := subscribe(t, n, "tea", "viewer")
	packets := func() uint64 { st, _ := v.Track("alice", "video0"); return st.Packets }
	await(t, "packets", 5*time.Second, func() bool { burst(96); return packets() > 20 })
	burst(13)
	was := packets()
	await(t, "packets after the stray one", 5*time.Second, func() bool { burst(96); return packets() > was+50 })
}

// Whatever the moment of a kick, no session survives it.
func TestNoSessionSlipsPastAKick(t *testing.T) {
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Auth.On = true
	n := start(t, cfg)
	name := roomtest.Name(t, "kick")
	id := roomtest.FullID(t, "alice").ID()
	for i := range 30 {
		if _, err := n.tokens.SetToken(t.Context(), name, room.Pub, id, "tok", auth.Grant{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		time.AfterFunc(time.Duration(i%12)*300*time.Microsecond, func() { done <- n.tokens.Kick(context.WithoutCancel(t.Context()), name, room.Pub, id) })
		conf := clientConfig(n, "kick", fmt.Sprintf("alice+%d", i))
		conf.Token = "tok"
		p, err := client.Publish(within(t, 5*time.Second), conf, client.Microphone())
		if kickErr := <-done; kickErr != nil {
			t.Fatal(kickErr)
		}
		if err != nil {
			continue // refused: the kick was first
		}
		select {
		case <-p.Done():
		case <-time.After(2 * time.Second):
			t.Fatalf("round %d: the session survived", i)
		}
	}
}

// A session whose place was taken and given up again before it looked does not live on unseen.
func TestSupersededUnseen(t *testing.T) {
	n := startNodes(t, 1)[0]
	p := publish(t, n, "tea", "alice")
	await(t, "the publisher to be live", 5*time.Second, func() bool { return len(records(t, n, "tea")) == 1 })
	rec, name := records(t, n, "tea")[0], roomtest.Name(t, "tea")
	inc, err := n.store.NextInc(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	rec.Inc, rec.Session, rec.Owner.Instance = inc, "other", "elsewhere"
	if _, err := n.store.GoLive(t.Context(), name, rec); err != nil {
		t.Fatal(err)
	}
	if _, err := n.store.RemovePublisher(t.Context(), name, rec.FullID, inc); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("it still publishes to nobody")
	}
}

// Sessions that end while Redis hangs leave no records behind once it answers again.
func TestNoGhostsAfterAnOutage(t *testing.T) {
	redis := testkit.StartRedis(t)
	n := start(t, (&cluster{redis: redis.URL, nats: []string{testkit.NATS(t)}}).config(0))
	p := publish(t, n, "tea", "alice")
	v := subscribe(t, n, "tea", "bob")
	await(t, "the publisher to be live", 5*time.Second, func() bool { return len(records(t, n, "tea")) == 1 })
	redis.Pause()
	p.Hangup()
	v.Hangup()
	await(t, "the sessions to end", 15*time.Second, func() bool { pubs, subs := n.sessions.Counts(); return pubs+subs == 0 })
	redis.Resume()
	await(t, "the records to go", 15*time.Second, func() bool {
		subs, err := n.store.Subscribers(t.Context(), roomtest.Name(t, "tea"))
		return err == nil && len(subs) == 0 && len(records(t, n, "tea")) == 0
	})
}
