package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"weever/mediad/internal/client/clienttest"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/room"
)

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

// eventually waits for what nobody announces.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for deadline := within(t); !cond(); {
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
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

func fullID(t *testing.T, s string) room.FullID {
	t.Helper()
	id, err := room.ParseFullID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

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
				heard(t, s, control.PubJoin{Pub: fullID(t, "alice+1")})
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
	eventually(t, "the PLI arrives", func() bool { return p.Sent()[0].PLIs > sent[0].PLIs })
	if deaf := p.Sent()[1]; deaf.PLIs == 0 {
		t.Errorf("a PLI that is ignored is not counted: %+v", deaf)
	}
}

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
		heard(t, s, control.PubLeft{Pub: fullID(t, id)})
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
	eventually(t, "carol is live", func() bool { return server.Live("elsewhere", "carol") })
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
	heard(t, s, control.PubJoin{Pub: fullID(t, "alice")})
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
	eventually(t, "a while has passed", func() bool { return p.Sent()[0].Packets > sent+60 })
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
			heard(t, watcher, control.PubJoin{Pub: fullID(t, name)})
			if err := c.end(p); err != nil {
				t.Fatal(err)
			}
			<-p.Done()
			if p.Err() == nil || c.why != nil && !errors.Is(p.Err(), c.why) {
				t.Errorf("it ended by %v, want %v", p.Err(), c.why)
			}
			if c.left {
				heard(t, watcher, control.PubLeft{Pub: fullID(t, name)})
			}
		})
	}
	for _, m := range watcher.Log() {
		if m == (control.PubLeft{Pub: fullID(t, "abandon")}) {
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
		alice.Sub(fullID(t, "bob")), alice.Unsub(fullID(t, "bob"), "video0"), alice.Layer(fullID(t, "bob"), "video0", control.LevelLow),
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
	eventually(t, "the camera sends", func() bool { return p.Sent()[0].Packets > 0 })

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
	eventually(t, "all layers arrive", func() bool {
		rids := server.Rids("r", "alice")
		slices.Sort(rids)
		return slices.Equal(rids, []string{"h", "l", "m"})
	})
	sent := p.Sent()
	if len(sent) != 3 || sent[0].Packets < sent[1].Packets || sent[1].Packets < sent[2].Packets || sent[2].Packets == 0 {
		t.Errorf("%+v", sent)
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

// pli asks for a key frame of the section that carries a track.
func pli(t *testing.T, s *Subscriber, id string) []rtcp.Packet {
	t.Helper()
	ts, ok := s.Track("alice", id)
	if !ok {
		t.Fatalf("no track %s", id)
	}
	return []rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ts.SSRC}}
}
