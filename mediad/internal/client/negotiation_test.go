package client

import (
	"errors"
	"testing"

	"weever/mediad/internal/client/clienttest"
	"weever/mediad/internal/control"
	"weever/shared/eventually"
	"weever/shared/room/roomtest"
)

// Rounds of negotiation, ICE restarts among them.

// TestSectionsAreReused lets publishers come and go: the mapping follows, and the SDP does not grow.
func TestSectionsAreReused(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	var sections int
	for i, id := range []string{"alice", "carol", "dave", "alice"} {
		p := publish(t, config(server, id))
		video, _ := s.Track(id, "video0")
		flows(t, s, id, "video0", video.Packets+12)
		flows(t, s, id, "audio0", 4)
		if n := len(s.Sections()); i == 0 {
			sections = n
		} else if n != sections {
			t.Errorf("%d sections after %d publishers, %d after the first", n, i+1, sections)
		}
		if err := p.Close(within(t)); err != nil {
			t.Fatal(err)
		}
		heard(t, s, control.PubLeft{Pub: roomtest.FullID(t, id)})
		if _, err := s.AwaitTrack(within(t), id, "video0", func(ts TrackStats) bool { return !ts.Active }); err != nil {
			t.Fatal(err)
		}
	}
	for _, ts := range s.Tracks() {
		if ts.Active || ts.Missing != 0 {
			t.Errorf("%+v", ts)
		}
	}
	if alice, _ := s.Track("alice", "video0"); alice.Streams != 2 {
		t.Errorf("alice came twice, but her track had %d sources", alice.Streams)
	}
}

// TestSwapInOneRound gives a section to another publisher with its SSRC unchanged: no track event tells of it.
func TestSwapInOneRound(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	alice := publish(t, config(server, "alice"))
	before := flows(t, s, "alice", "video0", 12)
	cfg := config(server, "carol")
	cfg.Room = "elsewhere"
	carol := publish(t, cfg)
	eventually.True(t, patience, "carol is live", func() bool { return server.Live("elsewhere", "carol") })
	server.Swap("r", "alice", "elsewhere", "carol")
	if _, err := s.AwaitTrack(within(t), "alice", "video0", func(ts TrackStats) bool { return !ts.Active }); err != nil {
		t.Fatal(err)
	}
	after, err := s.AwaitTrack(within(t), "carol", "video0", func(ts TrackStats) bool { return ts.SSRC == before.SSRC })
	if err != nil {
		t.Fatalf("carol does not come with alice's SSRC %d: %+v, %v", before.SSRC, after, err)
	}
	if after.Stream != carol.Sent()[0].Stream || after.Stream == alice.Sent()[0].Stream {
		t.Errorf("stream %d; carol sends %+v", after.Stream, carol.Sent())
	}
}

func TestAnswersCanBeHeldAndDropped(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	s.HoldAnswers()
	publish(t, config(server, "alice"))
	heard(t, s, control.PubJoin{Pub: roomtest.FullID(t, "alice")})
	if _, err := s.Await(within(t), func(m control.Message) bool { _, ok := m.(control.SDPOffer); return ok }); err != nil {
		t.Fatal(err)
	}
	if s.Rounds() != 1 || len(s.Tracks()) != 0 {
		t.Errorf("%d rounds and %d tracks while the offer is held", s.Rounds(), len(s.Tracks()))
	}
	s.ReleaseAnswers()
	flows(t, s, "alice", "video0", 6)

	s.DropAnswers(true)
	publish(t, config(server, "carol"))
	if _, err := s.AwaitTrack(within(t), "carol", "video0", func(ts TrackStats) bool { return ts.Active }); err != nil {
		t.Fatal(err)
	}
	if carol, _ := s.Track("carol", "video0"); carol.Packets != 0 {
		t.Errorf("the server sends though it had no answer: %+v", carol)
	}
}

// TestICERestart changes the path of a subscriber after renegotiation, and of a publisher.
func TestICERestart(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	p := publish(t, config(server, "alice"))
	flows(t, s, "alice", "video0", 6)

	tag := s.ETag()
	if err := s.ICERestart(within(t)); err != nil {
		t.Fatal(err)
	}
	if s.ETag() == tag || s.ETag() == "" {
		t.Errorf("ETag %q after %q", s.ETag(), tag)
	}
	before, _ := s.Track("alice", "video0")
	flows(t, s, "alice", "video0", before.Packets+60)

	if err := p.ICERestart(within(t)); err != nil {
		t.Fatal(err)
	}
	before, _ = s.Track("alice", "video0")
	flows(t, s, "alice", "video0", before.Packets+60)

	// And negotiation goes on as before.
	publish(t, config(server, "carol"))
	flows(t, s, "carol", "video0", 6)
}

func TestARefusedICERestartEndsTheSession(t *testing.T) {
	server := clienttest.New(t, "")
	s, err := Subscribe(within(t), config(server, "bob"), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Patch(within(t), "application/json", "{}", ""); err != nil {
		t.Fatal(err)
	}
	server.Kick("r", "bob")
	err = s.ICERestart(within(t))
	var status *StatusError
	if !errors.As(err, &status) && !errors.Is(err, ErrRemote) {
		t.Errorf("%v", err)
	}
	<-s.Done()
}

func TestTrickle(t *testing.T) {
	server := clienttest.New(t, "")
	cfg := config(server, "alice")
	cfg.Trickle = true
	p := publish(t, cfg)
	if p.ETag() != `"1"` {
		t.Errorf("ETag %q", p.ETag())
	}
	cfg.ID = "bob"
	s := subscribe(t, cfg, 0, 0)
	flows(t, s, "alice", "video0", 6)
}
