package client

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"weever/mediad/internal/client/clienttest"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/eventually"
	"weever/shared/room/roomtest"
)

// TestUnplugged lets a publisher's network vanish and come back.
func TestUnplugged(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	p := publish(t, config(server, "alice"))
	flows(t, s, "alice", "video0", 6)
	p.SetNetwork(false)
	silent := func() uint64 {
		_, err := s.Ping(within(t), "p")
		if err != nil {
			t.Fatal(err)
		}
		ts, _ := s.Track("alice", "video0")
		return ts.Packets
	}
	sent := p.Sent()[0].Packets
	eventually.True(t, patience, "a while has passed", func() bool { return p.Sent()[0].Packets > sent+60 })
	if a, b := silent(), p.Sent()[0].Packets; b-a < 30 {
		t.Errorf("%d packets came of %d", a, b)
	}
	p.SetNetwork(true)
	ts := flows(t, s, "alice", "video0", silent()+12)
	if ts.Missing == 0 {
		t.Errorf("nothing is missing though the wire was unplugged: %+v", ts)
	}
}

// TestLossIsRepaired loses packets on the way to a subscriber; NACKs bring them back.
func TestLossIsRepaired(t *testing.T) {
	server := clienttest.New(t, "")
	publish(t, config(server, "alice"))
	s := subscribe(t, config(server, "bob"), 0, 0)
	flows(t, s, "alice", "video0", 6)
	s.SetLoss(0.1)
	ts, err := s.AwaitTrack(within(t), "alice", "video0", func(ts TrackStats) bool { return ts.Repaired > 10 })
	if err != nil {
		t.Fatal(err)
	}
	s.SetLoss(0)
	if ts.Lost > ts.Packets/5 {
		t.Errorf("%+v", ts)
	}
}

func TestWaysToEnd(t *testing.T) {
	server := clienttest.New(t, "")
	watcher := subscribe(t, config(server, "watcher"), 0, 0)
	for name, c := range map[string]struct {
		end  func(*Publisher) error
		why  error
		left bool // the server notices at once
	}{
		"stop":    {func(p *Publisher) error { return p.Stop(within(t)) }, ErrRemote, true},
		"close":   {func(p *Publisher) error { return p.Close(within(t)) }, nil, true},
		"hangup":  {func(p *Publisher) error { p.Hangup(); return nil }, ErrClosed, true},
		"kick":    {func(p *Publisher) error { server.Kick("r", "kick"); <-p.Done(); return nil }, ErrRemote, true},
		"abandon": {func(p *Publisher) error { p.Abandon(); return nil }, ErrClosed, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := publish(t, config(server, name), Microphone())
			heard(t, watcher, control.PubJoin{Pub: roomtest.FullID(t, name)})
			if err := c.end(p); err != nil {
				t.Fatal(err)
			}
			<-p.Done()
			if p.Err() == nil || c.why != nil && !errors.Is(p.Err(), c.why) {
				t.Errorf("it ended by %v, want %v", p.Err(), c.why)
			}
			if c.left {
				heard(t, watcher, control.PubLeft{Pub: roomtest.FullID(t, name)})
			}
		})
	}
	for _, m := range watcher.Log() {
		if m == (control.PubLeft{Pub: roomtest.FullID(t, "abandon")}) {
			t.Error("who vanishes says goodbye")
		}
	}
}

func TestRefusals(t *testing.T) {
	server := clienttest.New(t, "secret")
	cfg := config(server, "alice")
	_, err := Publish(within(t), cfg, Microphone())
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusUnauthorized || status.Detail != "bad token" {
		t.Errorf("without token: %v", err)
	}
	cfg.Token = "secret"
	publish(t, cfg, Microphone())
	server.Refuse(http.StatusServiceUnavailable)
	_, err = Subscribe(within(t), cfg, 1, 1)
	if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable || status.RetryAfter != 3*time.Second || status.Detail != "the test wants it so" {
		t.Errorf("refused: %#v", err)
	}
	for name, bad := range map[string]Config{
		"nothing": {}, "no room": {URL: server.URL, ID: "x"}, "a path": {Endpoint: "/x"}, "no URL": {Endpoint: "::"}, "ftp": {Endpoint: "ftp://host/x"},
	} {
		if _, err := Subscribe(within(t), bad, 1, 1); err == nil || errors.As(err, new(*StatusError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Publish(within(t), cfg); err == nil {
		t.Error("a publisher without tracks")
	}
	if _, err := Publish(within(t), cfg, Camera("video/H266", synth.Burst)); err == nil {
		t.Error("a publisher with an unknown codec")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Publish(cancelled, cfg, Microphone()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if n := server.Sessions(); n != 1 {
		t.Errorf("%d sessions are left at the server", n)
	}
}

// TestManySessions opens and closes many sessions; goleak looks at the end of the package whether anything stayed.
func TestManySessions(t *testing.T) {
	server := clienttest.New(t, "")
	publish(t, config(server, "alice"))
	for range 10 {
		s, err := Subscribe(within(t), config(server, "bob"), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(within(t)); err != nil {
			t.Error(err)
		}
		if err := s.Close(within(t)); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	}
	if n := server.Sessions(); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
}
