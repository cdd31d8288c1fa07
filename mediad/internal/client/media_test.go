package client

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client/clienttest"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/eventually"
	"weever/shared/room/roomtest"
)

// What flows, and what a publisher can do about it.

// TestMediaFlows is the usual case for the three kinds of subscribers.
func TestMediaFlows(t *testing.T) {
	for name, c := range map[string]struct {
		noControl    bool
		audio, video int
		rounds       int
	}{
		"a data channel alone":  {false, 0, 0, 2},
		"sections and channel":  {false, 1, 1, 1},
		"plain WHEP":            {true, 1, 1, 1},
		"video alone, no sound": {true, 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			server := clienttest.New(t, "")
			p := publish(t, config(server, "alice+1"))
			cfg := config(server, "bob")
			cfg.NoControl = c.noControl
			// The server announces a publisher with her first packets: a WHEP player must not come before.
			first := subscribe(t, config(server, "first"), 0, 0)
			flows(t, first, "alice+1", "video0", 1)

			s := subscribe(t, cfg, c.audio, c.video)
			video := flows(t, s, "alice+1", "video0", 60)
			if c.audio > 0 || !c.noControl {
				if audio := flows(t, s, "alice+1", "audio0", 20); audio.Kind != "audio" || audio.Codec != "audio/opus" {
					t.Errorf("audio: %+v", audio)
				}
			}
			if video.Lost != 0 || video.Missing != 0 || video.Kind != "video" || video.Codec != "video/VP8" || video.SSRCs != 1 || video.Backwards != 0 {
				t.Errorf("video: %+v", video)
			}
			if video.Streams != 1 || video.Stream != p.Sent()[0].Stream || video.Stamped != video.Packets {
				t.Errorf("video comes from stream %d in %d changes, published was %+v", video.Stream, video.Streams, p.Sent())
			}
			if p99 := video.Latency.Quantile(0.99); video.Latency.Count() == 0 || p99 <= 0 || p99 > time.Second {
				t.Errorf("latency of %d packets: p99 %v", video.Latency.Count(), p99)
			}
			if got := s.Rounds(); got != c.rounds {
				t.Errorf("%d rounds, want %d", got, c.rounds)
			}
			if !c.noControl {
				heard(t, s, control.PubJoin{Pub: roomtest.FullID(t, "alice+1")})
			} else if err := s.Send(control.OK{}); !errors.Is(err, ErrUnsupported) {
				t.Errorf("a word without a channel: %v", err)
			}
			if s.Err() != nil {
				t.Error(s.Err())
			}
		})
	}
}

func TestEveryCodecStartsWithAKeyFrame(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	for _, codec := range []synth.Codec{synth.VP8, synth.VP9, synth.H264, synth.AV1} {
		id := "p-" + string(codec[6:])
		publish(t, config(server, id), Camera(codec, synth.Browser))
		video := flows(t, s, id, "video0", 30) // only after a PLI: the first key frame was before we came
		if video.Codec != string(codec) {
			t.Errorf("%s came as %s", codec, video.Codec)
		}
	}
}

func TestKeyFrameOnRequest(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	deaf := Camera(synth.VP8, synth.Burst)
	deaf.IgnorePLI = true
	p := publish(t, config(server, "alice"), Camera(synth.VP8, synth.Burst), deaf)
	flows(t, s, "alice", "video0", 1)
	if _, err := s.AwaitTrack(within(t), "alice", "video1", func(ts TrackStats) bool { return ts.Packets > 0 }); err != nil {
		t.Fatal(err)
	}
	late := subscribe(t, config(server, "carol"), 0, 2)
	t1, err := late.AwaitTrack(within(t), "alice", "video1", func(ts TrackStats) bool { return ts.Packets > 30 })
	if err != nil || !t1.KeyAt.IsZero() {
		t.Errorf("a key frame without any: %+v, %v", t1, err)
	}
	sent := p.Sent()
	if err := late.PeerConnection().WriteRTCP(pli(t, late, "video0")); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, patience, "the PLI arrives", func() bool { return p.Sent()[0].PLIs > sent[0].PLIs })
	if deaf := p.Sent()[1]; deaf.PLIs == 0 {
		t.Errorf("a PLI that is ignored is not counted: %+v", deaf)
	}
}

func TestWords(t *testing.T) {
	server := clienttest.New(t, "")
	alice, bob := subscribe(t, config(server, "alice"), 0, 0), subscribe(t, config(server, "bob"), 0, 0)
	if _, err := bob.Ping(within(t), "are you listening?"); err != nil { // its channel may open a little later there than here
		t.Fatal(err)
	}
	<-bob.Events()
	if err := alice.Say(json.RawMessage(`{"text":"hi"}`)); err != nil {
		t.Fatal(err)
	}
	m, err := bob.Await(within(t), func(m control.Message) bool { _, ok := m.(control.Said); return ok })
	if said, ok := m.(control.Said); !ok || said.From.String() != "alice" || string(said.JSON) != `{"text":"hi"}` {
		t.Errorf("%#v, %v", m, err)
	}
	if rtt, err := bob.Ping(within(t), "17"); err != nil || rtt <= 0 {
		t.Errorf("ping: %v, %v", rtt, err)
	}
	from := len(alice.Log())
	for _, err := range []error{
		alice.Sub(roomtest.FullID(t, "bob")), alice.Unsub(roomtest.FullID(t, "bob"), "video0"), alice.Layer(roomtest.FullID(t, "bob"), "video0", control.LevelLow),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	for range 3 {
		if _, from, err = alice.AwaitFrom(within(t), from, func(m control.Message) bool { return m == control.OK{} }); err != nil {
			t.Fatal(err)
		}
	}
	if err := alice.Mode("sometimes"); err == nil {
		t.Error("a mode that is none was sent")
	}
	if err := alice.Mode(control.ModeManual); err != nil {
		t.Error(err)
	}
	if _, err := alice.Await(within(t), func(m control.Message) bool { _, ok := m.(control.Stats); return ok }); err != nil {
		t.Error(err)
	}
	select {
	case m := <-bob.Events():
		if _, ok := m.(control.Said); !ok {
			t.Errorf("the first event is %#v", m)
		}
	default:
		t.Error("no events")
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := bob.Await(short, func(control.Message) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing to wait for: %v", err)
	}
}

func TestPublisherKnobs(t *testing.T) {
	server := clienttest.New(t, "")
	s := subscribe(t, config(server, "bob"), 0, 0)
	manual := Microphone()
	manual.Manual = true
	p := publish(t, config(server, "alice"), Camera(synth.VP8, synth.Burst), manual)
	for seq := range uint16(10) {
		packet := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(seq) * 960}, Payload: []byte{0xfc, 1, 2}}
		if err := p.WriteRTP(1, 0, packet); err != nil {
			t.Fatal(err)
		}
	}
	flows(t, s, "alice", "video0", 6)
	for seq := uint16(10); ; seq++ { // what came before the section was negotiated is lost
		packet := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(seq) * 960}, Payload: []byte{0xfc, 1, 2}}
		if err := p.WriteRTP(1, 0, packet); err != nil {
			t.Fatal(err)
		}
		if audio, ok := s.Track("alice", "audio0"); ok && audio.Packets > 0 {
			if audio.Stamped != 0 || audio.Bytes != 3*audio.Packets {
				t.Errorf("%+v", audio)
			}
			break
		}
		if _, err := s.Ping(within(t), "wait"); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, patience, "the camera sends", func() bool { return p.Sent()[0].Packets > 0 })

	if err := p.Mute(0, true); err != nil {
		t.Fatal(err)
	}
	if err := p.SetLevel(1, 30); err != nil {
		t.Fatal(err)
	}
	muted := p.Sent()[0].Packets
	if err := p.Mute(0, false); err != nil {
		t.Fatal(err)
	}
	flows(t, s, "alice", "video0", muted)

	if err := p.AddTrack(within(t), Camera(synth.VP8, synth.Burst)); err != nil {
		t.Fatal(err)
	}
	flows(t, s, "alice", "video1", 6)

	for _, err := range []error{p.Mute(5, true), p.SetLevel(-1, 0), p.WriteRTP(0, 1, &rtp.Packet{})} {
		if err == nil {
			t.Error("a track that is not there was found")
		}
	}
	if _, err := p.TrackLocal(2, 0); err != nil {
		t.Error(err)
	}
}

func TestSimulcast(t *testing.T) {
	server := clienttest.New(t, "")
	camera := Camera(synth.VP8, synth.Burst)
	camera.Rids = []string{"h", "m", "l"}
	p := publish(t, config(server, "alice"), camera)
	eventually.True(t, patience, "all layers arrive", func() bool {
		rids := server.Rids("r", "alice")
		slices.Sort(rids)
		return slices.Equal(rids, []string{"h", "l", "m"})
	})
	sent := p.Sent()
	if len(sent) != 3 || sent[0].Packets < sent[1].Packets || sent[1].Packets < sent[2].Packets || sent[2].Packets == 0 {
		t.Errorf("%+v", sent)
	}
}
