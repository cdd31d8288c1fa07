package main

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
)

// This file is the clients of the cluster tests: they join at a node and say what arrives.

// within bounds a step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func clientConfig(n *testNode, rm, id string) client.Config {
	return client.Config{URL: n.PublicURL(), Room: rm, ID: id, HTTP: insecure(), LoopbackOnly: true}
}

// publish starts a publisher with a microphone and a camera.
func publish(t *testing.T, n *testNode, rm, id string, tracks ...client.Track) *client.Publisher {
	t.Helper()
	if len(tracks) == 0 {
		tracks = []client.Track{client.Microphone(), client.Camera(synth.VP8, synth.Burst)}
	}
	p, err := client.Publish(within(t, 10*time.Second), clientConfig(n, rm, id), tracks...)
	if err != nil {
		t.Fatalf("%s publishing on %s: %v", id, n.cfg.Node.ID, err)
	}
	t.Cleanup(p.Hangup)
	return p
}

// subscribe starts a subscriber that offers one audio and one video section, as weever.js does.
func subscribe(t *testing.T, n *testNode, rm, id string) *client.Subscriber {
	t.Helper()
	return subscribeOffering(t, clientConfig(n, rm, id), 1, 1)
}

func subscribeOffering(t *testing.T, cfg client.Config, audio, video int) *client.Subscriber {
	t.Helper()
	s, err := client.Subscribe(within(t, 10*time.Second), cfg, audio, video)
	if err != nil {
		t.Fatalf("%s subscribing: %v", cfg.ID, err)
	}
	t.Cleanup(s.Hangup)
	return s
}

// plays waits until a track of a publisher arrives with a key frame and some packets after it, and returns its counts.
func plays(t *testing.T, s *client.Subscriber, pub, track string) arrival.Stats {
	t.Helper()
	return more(t, s, pub, track, 20)
}

// more waits for n more packets of a track than there are now.
func more(t *testing.T, s *client.Subscriber, pub, track string, n uint64) arrival.Stats {
	t.Helper()
	was, _ := s.Track(pub, track)
	asked := time.Now()
	st, err := s.AwaitTrack(within(t, 10*time.Second), pub, track, func(st arrival.Stats) bool {
		if st.KeyAt.IsZero() && st.SSRC != 0 && time.Since(asked) > 200*time.Millisecond {
			// The key frame was lost on the way: ask, as a browser does.
			_ = s.PeerConnection().WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: st.SSRC}})
			asked = time.Now()
		}
		return !st.KeyAt.IsZero() && st.Packets >= was.Packets+n
	})
	if err != nil {
		t.Fatalf("waiting for %s of %s: %v; there is %+v", track, pub, err, s.Tracks())
	}
	return st
}

// hears waits for a control message.
func hears(t *testing.T, s *client.Subscriber, what control.Message) {
	t.Helper()
	if _, err := s.Await(within(t, 10*time.Second), func(m control.Message) bool { return m == what }); err != nil {
		t.Fatalf("waiting for %#v: %v; heard %+v", what, err, s.Log())
	}
}

// settled waits until the number of goroutines stays the same for a while, and returns it.
func settled() int {
	n, since := runtime.NumGoroutine(), time.Now()
	for time.Since(since) < 500*time.Millisecond {
		<-time.After(20 * time.Millisecond)
		if now := runtime.NumGoroutine(); now != n {
			n, since = now, time.Now()
		}
	}
	return n
}
