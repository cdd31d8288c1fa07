package icesession

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/sdpfrag"
	"weever/mediad/internal/udpio"
	"weever/shared/room"
)

// answered is a connection of ours that has answered a player, and its ICE session.
func answered(t testing.TB) (*webrtc.PeerConnection, *Session) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	mux, err := udpio.Listen(udpio.Config{Interfaces: []string{"lo"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mux.Close() })
	factory, err := peer.New(peer.Config{UDPMux: mux, Loopback: true, ResumeWindow: time.Second, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	client, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.GracefulClose() })
	if _, err := client.CreateDataChannel("control", nil); err != nil {
		t.Fatal(err)
	}
	desc, err := client.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := peer.ParseOffer(room.Sub, desc.SDP)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := factory.Accept(offer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	if _, err := peer.Answer(t.Context(), pc.PeerConnection); err != nil {
		t.Fatal(err)
	}
	s := New(t.Context(), func(error) {}, pc.PeerConnection)
	if s.Settle() == "" {
		t.Fatal("no entity tag")
	}
	return pc.PeerConnection, s
}

// However many candidates a client sends, its session takes a fixed number.
func TestCandidatesAreCapped(t *testing.T) {
	pc, s := answered(t)
	for i := range 50 {
		var b strings.Builder
		for j := range 40 {
			fmt.Fprintf(&b, "a=candidate:%d 1 udp 2122260223 192.0.2.%d %d typ host\r\n", i*40+j, i+1, 1000+j)
		}
		frag, err := sdpfrag.Parse([]byte(b.String()), "")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // sent again they count once
			if _, err := s.Patch(t.Context(), Request{Fragment: frag}); err != nil {
				t.Fatal(err)
			}
		}
	}
	remote := func() (n int) {
		for _, stats := range pc.GetStats() {
			if c, ok := stats.(webrtc.ICECandidateStats); ok && c.Type == webrtc.StatsTypeRemoteCandidate {
				n++
			}
		}
		return n
	}
	deadline := time.Now().Add(5 * time.Second)
	for remote() < peer.MaxCandidates && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond) // pion adds them in its own time
	}
	if n := remote(); n != peer.MaxCandidates {
		t.Errorf("%d remote candidates, want %d", n, peer.MaxCandidates)
	}
}
