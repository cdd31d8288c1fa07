package peer

import (
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/udpio"
	"weever/shared/room"
)

// factory is one on loopback.
func factory(t *testing.T) *Factory {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	mux, err := udpio.Listen(udpio.Config{Interfaces: []string{"lo"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mux.Close() })
	f, err := New(Config{UDPMux: mux, Loopback: true, ResumeWindow: 10 * time.Second, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// player is a client that wants to receive audio.
func player(t *testing.T) *webrtc.PeerConnection {
	t.Helper()
	se := webrtc.SettingEngine{}
	se.SetIncludeLoopbackCandidate(true)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	return pc
}

// join connects client as a subscriber and returns our side once it is up; its state changes go to states. prepare, if any, sees the offer first,
// and our side before the answer.
func join(t *testing.T, f *Factory, client *webrtc.PeerConnection, prepare ...func(sdp *string, ours *Conn)) (_ *Conn, states chan webrtc.PeerConnectionState) {
	t.Helper()
	desc, err := client.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(client)
	if err := client.SetLocalDescription(desc); err != nil {
		t.Fatal(err)
	}
	<-gathered
	sdp := client.LocalDescription().SDP
	for _, p := range prepare {
		p(&sdp, nil)
	}
	o, err := ParseOffer(room.Sub, sdp)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := f.Accept(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	for _, p := range prepare {
		p(nil, pc)
	}
	states = make(chan webrtc.PeerConnectionState, 8)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) { states <- s })
	text, err := Answer(t.Context(), pc.PeerConnection)
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{}, 8)
	client.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			up <- struct{}{}
		}
	})
	if err := client.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		t.Fatal(err)
	}
	<-up
	for s := range states {
		if s == webrtc.PeerConnectionStateConnected {
			break
		}
	}
	return pc, states
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // a test's heap
}

// passive makes an offer leave the DTLS client's role to the node, as FFmpeg's does.
func passive(sdp *string, _ *Conn) {
	if sdp != nil {
		*sdp = strings.ReplaceAll(*sdp, "a=setup:actpass", "a=setup:passive")
	}
}

// A viewer that invents SSRCs, where pion takes them in, gets its connection closed, not our memory: 2000 receiver reports name 62 000 of them.
func TestInventedStreamsCostNothing(t *testing.T) {
	client := player(t)
	ours, states := join(t, factory(t), client, passive)
	if ours.Out != nil {
		t.Fatal("the node is not the DTLS client")
	}
	before := heap()
	ssrc, closed := uint32(1), false
	for range 2000 {
		rr := &rtcp.ReceiverReport{SSRC: 7}
		for range 31 {
			rr.Reports = append(rr.Reports, rtcp.ReceptionReport{SSRC: ssrc})
			ssrc++
		}
		if err := client.WriteRTCP([]rtcp.Packet{rr}); err != nil {
			break // our side has said goodbye
		}
		if ssrc%(31*20) == 1 {
			runtime.Gosched()
		}
	}
	limit := time.After(10 * time.Second)
	for !closed {
		select {
		case s := <-states:
			closed = s == webrtc.PeerConnectionStateClosed
		case <-limit:
			t.Fatal("the connection stays open")
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
}
