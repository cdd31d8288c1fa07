package main

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/room/roomtest"
)

// ICE restarts, and what else was under way when they came.

// The phone that changes network: its answer is lost with the path, and the restart comes while our offer is open.
func TestICERestartWithOpenOffer(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	v.DropAnswers(true)
	rounds := v.Rounds()
	publish(t, nodes[0], "tea", "bob") // makes an offer, whose answer is lost
	hears(t, v, control.PubJoin{Pub: roomtest.FullID(t, "bob")})
	await(t, "the offer to be applied", 5*time.Second, func() bool { return v.Rounds() > rounds })
	v.DropAnswers(false)
	if err := v.ICERestart(within(t, 10*time.Second)); err != nil {
		t.Fatalf("restart: %v", err)
	}
	await(t, "packets of bob", 5*time.Second, func() bool { st, _ := v.Track("bob", "video0"); return st.Packets > 0 })
	for _, id := range []string{"alice", "bob"} {
		more(t, v, id, "video0", 20)
		more(t, v, id, "audio0", 20)
	}
	publish(t, nodes[1], "tea", "carol") // and rounds go on
	plays(t, v, "carol", "video0")
}

// The same with the offer still lying there when its round is closed: the client answers only the one that follows.
func TestICERestartWithLateAnswer(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	v.HoldAnswers()
	publish(t, nodes[0], "tea", "bob")
	await(t, "an offer to be held", 5*time.Second, func() bool { return v.HeldOffers() == 1 })
	if err := v.ICERestart(within(t, 10*time.Second)); err != nil {
		t.Fatalf("restart: %v", err)
	}
	more(t, v, "alice", "video0", 20)
	await(t, "the offer after the restart", 5*time.Second, func() bool { return v.HeldOffers() == 2 })
	v.ReleaseAnswers()
	plays(t, v, "bob", "video0")
}

func TestPublisherICERestart(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	if err := p.ICERestart(within(t, 10*time.Second)); err != nil {
		t.Fatalf("restart: %v", err)
	}
	more(t, v, "alice", "video0", 40)
	more(t, v, "alice", "audio0", 20)
}

// A publisher's offer that was written before its ICE restart and comes after it changes nothing about the path.
func TestPublisherOfferCrossesItsRestart(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	before, err := p.PeerConnection().CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ICERestart(within(t, 10*time.Second)); err != nil {
		t.Fatalf("restart: %v", err)
	}
	more(t, v, "alice", "video0", 20)
	tag := p.ETag()
	if err := p.Send(control.SDPOffer{SDP: before.SDP}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Await(within(t, 5*time.Second), func(m control.Message) bool { _, ok := m.(control.SDPAnswer); return ok }); err != nil {
		t.Fatal(err)
	}
	if r, err := p.Patch(within(t, 5*time.Second), sdpfrag.ContentType, oneCandidate, tag); err != nil || r.Status != 204 {
		t.Errorf("the ICE session is not %s any more: %d %s, %v", tag, r.Status, r.Body, err)
	}
	more(t, v, "alice", "video0", 40)
	more(t, v, "alice", "audio0", 20)
	if st := p.PeerConnection().ICEConnectionState(); st != webrtc.ICEConnectionStateConnected {
		t.Errorf("the path is %v", st)
	}
}
