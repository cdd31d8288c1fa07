package client

import (
	"context"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"

	"weever/mediad/internal/client/clienttest"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
)

// This file opens the sessions of the tests and waits for what they are to see.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should take moments.
const patience = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func config(s *clienttest.Server, id string) Config {
	return Config{URL: s.URL, Room: "r", ID: id, HTTP: s.Client, LoopbackOnly: true}
}

func publish(t *testing.T, cfg Config, tracks ...Track) *Publisher {
	t.Helper()
	if tracks == nil {
		tracks = []Track{Camera(synth.VP8, synth.Burst), Microphone()}
	}
	p, err := Publish(within(t), cfg, tracks...)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	t.Cleanup(p.Hangup)
	return p
}

func subscribe(t *testing.T, cfg Config, audio, video int) *Subscriber {
	t.Helper()
	s, err := Subscribe(within(t), cfg, audio, video)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	t.Cleanup(func() {
		if faults := s.Faults(); len(faults) > 0 {
			t.Errorf("faults on the control channel: %v", faults)
		}
		s.Hangup()
	})
	return s
}

// flows waits for n packets of a track, and a whole key frame.
func flows(t *testing.T, s *Subscriber, pub, id string, n uint64) TrackStats {
	t.Helper()
	stats, err := s.AwaitTrack(within(t), pub, id, func(ts TrackStats) bool { return ts.Active && ts.Packets >= n && !ts.KeyAt.IsZero() })
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

func heard(t *testing.T, s *Subscriber, want control.Message) {
	t.Helper()
	if _, err := s.Await(within(t), func(m control.Message) bool { return m == want }); err != nil {
		t.Fatalf("%#v: %v; %#v", want, err, s.Log())
	}
}

// pli asks for a key frame of the section that carries a track.
func pli(t *testing.T, s *Subscriber, id string) []rtcp.Packet {
	t.Helper()
	ts, ok := s.Track("alice", id)
	if !ok {
		t.Fatalf("no track %s", id)
	}
	return []rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ts.SSRC}}
}
