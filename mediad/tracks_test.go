package main

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// A takeover with another codec cannot go on in the same section: the track is parked and comes again.
func TestTakeoverWithAnotherCodec(t *testing.T) {
	nodes := startNodes(t, 2)
	publish(t, nodes[0], "tea", "alice", client.Camera(synth.VP8, synth.Burst), client.Microphone())
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	plays(t, v, "alice", "audio0")
	publish(t, nodes[1], "tea", "alice", client.Camera(synth.H264, synth.Burst), client.Microphone())
	if _, err := v.AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st arrival.Stats) bool { return st.Codec == string(synth.H264) }); err != nil {
		t.Fatalf("%v: %+v", err, v.Tracks())
	}
	more(t, v, "alice", "video0", 20)
	more(t, v, "alice", "audio0", 20)
	if n := len(v.Sections()); n > 4 {
		t.Errorf("%d sections", n)
	}
}

// Another connection of the same person leaves the earlier one alone while that is live, and replaces it when it is away.
func TestReloadedPage(t *testing.T) {
	nodes := startNodes(t, 2)
	first := publish(t, nodes[0], "tea", "alice+1")
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice+1", "video0")
	publish(t, nodes[1], "tea", "alice+2")
	plays(t, v, "alice+2", "video0")
	more(t, v, "alice+1", "video0", 20)

	first.Abandon()
	hears(t, v, control.PubAway{Pub: roomtest.FullID(t, "alice+1")})
	began := time.Now()
	publish(t, nodes[1], "tea", "alice+3")
	hears(t, v, control.PubLeft{Pub: roomtest.FullID(t, "alice+1")})
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the reloaded page was there for another %v", took)
	}
	plays(t, v, "alice+3", "video0")
}

// Whoever does not come back has left when the window is over.
func TestAwayForGood(t *testing.T) {
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Node.ResumeWindow = time.Second
	n := start(t, cfg)
	p := publish(t, n, "tea", "alice")
	v := subscribe(t, n, "tea", "viewer")
	plays(t, v, "alice", "audio0")
	p.Abandon()
	hears(t, v, control.PubAway{Pub: roomtest.FullID(t, "alice")})
	hears(t, v, control.PubLeft{Pub: roomtest.FullID(t, "alice")})
	await(t, "the session to end", 5*time.Second, func() bool { pubs, _ := n.sessions.Counts(); return pubs == 0 })
}

// A publisher adds a track later, over its control channel; viewers elsewhere get it.
func TestTrackAddedLater(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice", client.Microphone())
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "audio0")
	if err := p.AddTrack(within(t, 5*time.Second), client.Camera(synth.VP8, synth.Burst)); err != nil {
		t.Fatal(err)
	}
	plays(t, v, "alice", "video0")
	if err := p.AddTrack(within(t, 5*time.Second), client.Microphone()); err != nil {
		t.Fatal(err)
	}
	plays(t, v, "alice", "audio1")
}

// A section that a viewer offered is of use even if nobody sent on it in the first rounds.
func TestTrackAddedForOneWhoWaits(t *testing.T) {
	n := startNodes(t, 1)[0]
	v := subscribe(t, n, "tea", "viewer")
	p := publish(t, n, "tea", "alice", client.Microphone())
	plays(t, v, "alice", "audio0")
	if err := p.AddTrack(within(t, 5*time.Second), client.Camera(synth.VP8, synth.Burst)); err != nil {
		t.Fatal(err)
	}
	plays(t, v, "alice", "video0")
	if got := v.Sections(); len(got) != 3 {
		t.Errorf("not the section that was offered: %+v", got)
	}
}

// A publisher takes a track away over its control channel; viewers keep the others, and the section is parked.
func TestTrackRemovedLater(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	plays(t, v, "alice", "audio0")
	pc := p.PeerConnection()
	for _, tr := range pc.GetTransceivers() {
		if tr.Kind() == webrtc.RTPCodecTypeVideo {
			if err := pc.RemoveTrack(tr.Sender()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.AddTrack(within(t, 5*time.Second), client.Microphone()); err != nil {
		t.Fatal(err)
	}
	await(t, "the video to go", 5*time.Second, func() bool { st, _ := v.Track("alice", "video0"); return !st.Active })
	more(t, v, "alice", "audio0", 20)
	plays(t, v, "alice", "audio1")
}

// Muted tracks are live: nobody is told anything when the packets stop and come again.
func TestMutedIsLive(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice", client.Microphone())
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "audio0")
	if err := p.Mute(0, true); err != nil {
		t.Fatal(err)
	}
	said := len(v.Log())
	<-time.After(4 * time.Second) // longer than the silence that makes a publisher away
	for _, m := range v.Log()[said:] {
		if _, ok := m.(control.Speakers); !ok { // that she is silent may be heard
			t.Errorf("told of a mute: %+v", m)
		}
	}
	if err := p.Mute(0, false); err != nil {
		t.Fatal(err)
	}
	more(t, v, "alice", "audio0", 20)
}

// Simulcast: a viewer gets the layer it asks for, as one stream.
func TestSimulcastLayers(t *testing.T) {
	nodes := startNodes(t, 2)
	cam := client.Camera(synth.VP8, synth.Burst)
	cam.Rids = []string{"h", "m", "l"}
	p := publish(t, nodes[0], "tea", "alice", cam)
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	streams := map[string]uint32{}
	for _, s := range p.Sent() {
		streams[s.Rid] = s.Stream
	}
	for level, rid := range map[control.Level]string{control.LevelLow: "l", control.LevelMid: "m", control.LevelHigh: "h"} {
		if err := v.Layer(roomtest.FullID(t, "alice"), "video0", level); err != nil {
			t.Fatal(err)
		}
		st, err := v.AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st arrival.Stats) bool { return st.Stream == streams[rid] })
		if err != nil {
			t.Fatalf("%s: %v: %+v", level, err, v.Tracks())
		}
		if st.SSRCs != 1 || st.Backwards != 0 {
			t.Errorf("%s: not one stream: %+v", level, st)
		}
	}
	if err := v.Layer(roomtest.FullID(t, "alice"), "video0", control.LevelOff); err != nil {
		t.Fatal(err)
	}
	quiet := func() bool {
		was, _ := v.Track("alice", "video0")
		<-time.After(300 * time.Millisecond)
		now, _ := v.Track("alice", "video0")
		return now.Packets == was.Packets
	}
	await(t, "the track to stop", 5*time.Second, quiet)
	if err := v.Layer(roomtest.FullID(t, "alice"), "video0", control.LevelAuto); err != nil {
		t.Fatal(err)
	}
	more(t, v, "alice", "video0", 20)
}

// A publisher who lists the least layer first, against RFC 8853, is understood all the same: what counts is the size of the pictures.
func TestLayersListedLeastFirst(t *testing.T) {
	nodes := startNodes(t, 2)
	cam := client.Camera(synth.VP8, synth.Burst)
	cam.Rids, cam.LeastFirst = []string{"a", "b", "c"}, true
	p := publish(t, nodes[0], "tea", "alice", cam)
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	streams := map[string]uint32{}
	for _, s := range p.Sent() {
		streams[s.Rid] = s.Stream
	}
	showsLayer := func(what, rid string) {
		t.Helper()
		if _, err := v.AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st arrival.Stats) bool { return st.Stream == streams[rid] }); err != nil {
			t.Fatalf("%s: %v: %+v", what, err, v.Tracks())
		}
	}
	showsLayer("what nobody asked for", "c")
	for level, rid := range map[control.Level]string{control.LevelLow: "a", control.LevelMid: "b", control.LevelHigh: "c"} {
		if err := v.Layer(roomtest.FullID(t, "alice"), "video0", level); err != nil {
			t.Fatal(err)
		}
		showsLayer(string(level), rid)
	}
}

// A browser that is short of bandwidth or CPU stops sending its best layers. Who wants the best gets the best of those that flow.
func TestLayersThatDoNotFlow(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice", simulcast())
	v := subscribe(t, nodes[1], "tea", "viewer")
	plays(t, v, "alice", "video0")
	flows := func(rid string) {
		t.Helper()
		var stream uint32
		for _, s := range p.Sent() {
			if s.Rid == rid {
				stream = s.Stream
			}
		}
		if _, err := v.AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st arrival.Stats) bool { return st.Stream == stream }); err != nil {
			t.Fatalf("layer %s: %v: %+v", rid, err, v.Tracks())
		}
		if st := more(t, v, "alice", "video0", 20); st.SSRCs != 1 || st.Backwards != 0 {
			t.Errorf("layer %s: not one stream: %+v", rid, st)
		}
	}
	mute := func(layer int, on bool) {
		t.Helper()
		if err := p.MuteLayer(0, layer, on); err != nil {
			t.Fatal(err)
		}
	}
	flows("h")
	mute(0, true)
	flows("m")
	mute(1, true)
	flows("l")
	// All silent at once is a picture that does not change.
	mute(2, true)
	tracks := nodes[0].tracksOf(t, "tea")
	<-time.After(2 * time.Second)
	if now := nodes[0].tracksOf(t, "tea"); !reflect.DeepEqual(now, tracks) {
		t.Errorf("the record had %+v, and now %+v", tracks, now)
	}
	for layer := range 3 {
		mute(layer, false)
	}
	flows("h")
}

// Those who watch at the publisher's own node need no Redis to be spared a layer that has stopped.
func TestALayerStopsWhileRedisIsAway(t *testing.T) {
	redis := testkit.StartRedis(t)
	n := start(t, (&cluster{redis: redis.URL, nats: []string{testkit.NATS(t)}}).config(0))
	p := publish(t, n, "tea", "alice", simulcast())
	v := subscribe(t, n, "tea", "viewer")
	plays(t, v, "alice", "video0")
	streams := map[string]uint32{}
	for _, s := range p.Sent() {
		streams[s.Rid] = s.Stream
	}
	shows := func(rid string) {
		t.Helper()
		if _, err := v.AwaitTrack(within(t, 10*time.Second), "alice", "video0", func(st arrival.Stats) bool { return st.Stream == streams[rid] }); err != nil {
			t.Fatalf("layer %s: %v: %+v", rid, err, v.Tracks())
		}
	}
	shows("h")
	redis.Stop()
	if err := p.MuteLayer(0, 0, true); err != nil {
		t.Fatal(err)
	}
	shows("m")
	redis.Start()
	await(t, "the record to say so", 20*time.Second, func() bool {
		pubs, err := n.store.Publishers(t.Context(), roomtest.Name(t, "tea"))
		return err == nil && len(pubs) == 1 && slices.Equal(pubs[0].Tracks[0].Layers, []string{"m", "l"})
	})
	if err := p.MuteLayer(0, 0, false); err != nil {
		t.Fatal(err)
	}
	shows("h")
}

// tracksOf is what a room's only publisher has on record.
func (n *testNode) tracksOf(t *testing.T, rm string) []room.Track {
	t.Helper()
	pubs, err := n.store.Publishers(t.Context(), roomtest.Name(t, rm))
	if err != nil || len(pubs) != 1 {
		t.Fatalf("%+v, %v", pubs, err)
	}
	return pubs[0].Tracks
}

// Pages of the configured domains may use the API, others may not.
func TestCORS(t *testing.T) {
	n := startNodes(t, 1)[0]
	ask := func(origin string) reply {
		return do(t, "OPTIONS", n.PublicURL()+"/pub/tea/alice", "", map[string]string{
			"Origin": origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type,if-match",
		})
	}
	for origin, want := range map[string]string{
		"http://localhost:3000": "http://localhost:3000", "https://app.localhost": "https://app.localhost",
		"https://evil.example": "", "https://notlocalhost": "", "null": "",
	} {
		r := ask(origin)
		if got := r.header.Get("Access-Control-Allow-Origin"); got != want || r.status != 200 {
			t.Errorf("%s: %q, status %d", origin, got, r.status)
		}
	}
}
