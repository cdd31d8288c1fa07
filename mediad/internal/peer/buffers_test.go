package peer

import (
	"log/slog"
	"net"
	"runtime"
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

// join connects client as a subscriber and returns our side once it is up; its state changes go to states.
func join(t *testing.T, f *Factory, client *webrtc.PeerConnection) (_ *webrtc.PeerConnection, states chan webrtc.PeerConnectionState) {
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
	o, err := ParseOffer(room.Sub, client.LocalDescription().SDP)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := f.Accept(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	states = make(chan webrtc.PeerConnectionState, 8)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) { states <- s })
	text, err := Answer(t.Context(), pc)
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

// A viewer that invents SSRCs gets its connection closed, not our memory: 2000 receiver reports name 62 000 of them.
func TestInventedStreamsCostNothing(t *testing.T) {
	client := player(t)
	_, states := join(t, factory(t), client)
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

func TestRemoteAllowed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"192.0.2.1": true, "10.0.0.1": true, "2001:db8::1": true, "fd00:ec2::1": true,
		"127.0.0.1": false, "::1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "ff02::1": false,
		"169.254.169.254": false, "fe80::1": false, "::ffff:169.254.169.254": false,
		"fd00:ec2::254": false, "168.63.129.16": false, "100.100.100.200": false, "::ffff:168.63.129.16": false,
	} {
		if got := remoteAllowed(net.ParseIP(text), false); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
