package metrics

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/viewer/outlet"
	"weever/shared/room"
	"weever/shared/testkit"
)

// TestValuesMove: a stream of one node is watched on another, which loses a packet. Both tell; when all is over their sums stay.
func TestValuesMove(t *testing.T) {
	natsURL, redisURL := testkit.NATS(t), testkit.Redis(t)
	a, b := start(t, "aaaa", natsURL, redisURL), start(t, "bbbb", natsURL, redisURL)
	k := key(t, "h")
	stream, unpublish := a.publish(k)
	_, unpublishLow := a.publish(key(t, "l"))
	stream.WritePackets(frame(1, true))
	a.want("before anybody watches", map[string]float64{
		"weever_tracks_published{vp8,video}":                 1,
		"weever_streams{vp8,video,local}":                    2,
		"weever_rtp_received_packets_total{vp8,video,local}": 1,
		"weever_rtp_received_bytes_total{vp8,video,local}":   100,
		"weever_relay_messages_total{out}":                   0,
		"weever_relay_leases{granted}":                       0,
		"weever_keyframe_requests_sent_total{publisher}":     0,
		"weever_drops_total{publisher,duplicate}":            0,
		"weever_drops_total{relay,fenced}":                   0,
		"weever_drops_total{talk,viewer_queue_full}":         0,
		"weever_drops_total{udp,stun_replayed}":              0,
		"weever_drops_total{events,unreadable}":              0,
		"weever_drops_total{viewer,nack_unknown}":            0,
		"weever_drops_total{pion,srtp_invalid}":              9,
		"weever_nats_reconnects_total{media}":                0,
		"weever_redis_failures_total{}":                      0,
	})

	h, err := b.relay.Open(k, room.Owner{Node: "aaaa", Instance: "aaaa", Epoch: 1}, room.Track{ID: "video0", Kind: "video", Codec: "video/VP8", Clock: 90000})
	if err != nil {
		t.Fatal(err)
	}
	w := &transport{}
	viewers := outlet.New(outlet.Config{Book: &b.tracks, Clock: life.NewClock(time.Now(), b.m.Viewers())})
	track, err := viewers.Open(webrtc.RTPCodecTypeVideo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := track.Bind(w); err != nil {
		t.Fatal(err)
	}
	track.Start()
	track.Switch(h.Stream(), h.Close)
	b.await("weever_rtp_sent_packets_total{video}", is(1)) // the cached key frame
	a.await("weever_relay_leases{granted}", is(1))
	stream.WritePackets(frame(2, false))
	stream.WritePackets(frame(2, false))
	b.await("weever_rtp_sent_packets_total{video}", is(2))
	track.HandleRTCP(marshal(t, &rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{w.newest(), w.newest() + 9})}))
	track.HandleRTCP(marshal(t, &rtcp.PictureLossIndication{MediaSSRC: ssrc}))
	b.await("weever_keyframe_requests_sent_total{node}", is(1))
	a.await("weever_keyframe_requests_received_total{node}", is(1))

	there := map[string]float64{
		"weever_relay_messages_total{out}": 1, "weever_relay_packets_total{out}": 1,
		"weever_drops_total{publisher,duplicate}": 1, "weever_keyframe_requests_sent_total{publisher}": 1,
	}
	here := map[string]float64{
		"weever_rtp_received_packets_total{vp8,video,remote}": 2, "weever_relay_messages_total{in}": 1, "weever_relay_packets_total{in}": 1,
		"weever_rtp_sent_bytes_total{video}": 200, "weever_nacked_packets_total{video}": 2, "weever_retransmitted_packets_total{video,rtx}": 1,
		"weever_retransmitted_packets_total{video,plain}": 0, "weever_drops_total{viewer,nack_unknown}": 1,
		"weever_keyframe_requests_received_total{viewer}": 1, "weever_keyframe_cache_total{hit}": 1,
		"weever_keyframe_wait_seconds{}": 1, "weever_join_media_seconds{}": 1,
	}
	a.want("watched", there)
	b.want("watching", here)
	b.want("watching", map[string]float64{
		"weever_streams{vp8,video,remote}": 1, "weever_viewer_tracks{video}": 1, "weever_relay_leases{held}": 1, "weever_relay_leases{wanted}": 1,
	})
	b.await("weever_relay_hop_seconds{}", func(n float64) bool { return n >= 1 }) // a lease was renewed
	if v := b.values(); v["weever_history_bytes{vp8,video,remote}"] < 1 ||
		v["weever_node_calls_total{out,ok}"] < 1 || v["weever_nats_messages_total{media,in}"] < 1 {
		t.Errorf("%v", v)
	}

	viewers.CloseAll()
	unpublish()
	unpublishLow()
	a.want("in the end", there)
	end := maps.Clone(here)
	end["weever_viewer_tracks{video}"] = 0
	b.await("weever_streams{vp8,video,remote}", is(0)) // the relay leaves it by itself
	b.want("in the end", end)
	a.want("in the end", map[string]float64{"weever_streams{vp8,video,local}": 0})
}

// TestTheRest: what a node is told of itself is told on.
func TestTheRest(t *testing.T) {
	n := start(t, "aaaa", testkit.NATS(t), testkit.Redis(t))
	pub, sub := n.m.Publishers(), n.m.Viewers()
	pub.Answered(time.Second)
	pub.Connected(time.Second)
	sub.Answered(time.Second)
	up := n.m.Probe("redis", func(context.Context) error { return nil })
	down := n.m.Probe("nats", func(context.Context) error { return errors.New("away") })
	if up(t.Context()) != nil || down(t.Context()) == nil {
		t.Error("a probe says something else than the backend")
	}
	n.m.Requests(nil) // nothing was answered
	n.want("alone", map[string]float64{
		"weever_publishers{}": 3, "weever_viewers{}": 0, "weever_sessions{pub,away}": 2, "weever_sessions{pub,live}": 1, "weever_sessions{pub,pending}": 0,
		"weever_joins_total{ok,pub}": 4, "weever_joins_total{ok,sub}": 0, "weever_joins_total{full,sub}": 5, "weever_session_ends_total{kicked,sub}": 6,
		"weever_viewer_links{steady}": 7, "weever_viewer_links{blind}": 1, "weever_viewer_links{congested}": 0, "weever_viewer_link_cuts_total{}": 8,
		"weever_viewer_link_reports_total{read}": 90, "weever_viewer_link_reports_total{malformed}": 2, "weever_viewer_link_reports_total{repeated}": 3,
		"weever_join_answer_seconds{pub}": 1, "weever_join_connected_seconds{pub}": 1, "weever_join_answer_seconds{sub}": 1,
		"weever_join_connected_seconds{sub}": 0, "weever_backend_probe_seconds{redis}": 1, "weever_backend_probe_seconds{nats}": 0,
		"weever_nodes{eu?,v1}": 2, "weever_nodes_reaped_total{}": 1, "weever_lease_age_seconds{}": 1.5, "weever_certificate_expiry_timestamp_seconds{}": 1.8e9, "weever_ready{}": 1,
		"weever_draining{}": 1, "weever_drain_sessions_left{}": 3, "weever_backend_up{redis}": 1, "weever_backend_up{nats}": 0,
		"weever_sessions_limit{}": 10, "weever_egress_bytes_per_second{}": 2e6, "weever_egress_limit_bytes_per_second{}": 1e6,
		"weever_full{egress}": 1, "weever_full{sessions}": 0, "weever_cpu_used_ratio{}": 0, "weever_fence_open{}": 0,
	})
	if v := n.values(); v["go_goroutines{}"] == 0 || v["process_start_time_seconds{}"] == 0 {
		t.Error("the Go and process collectors are missing")
	}
	if _, there := n.values()["weever_cpu_limit_ratio{}"]; there {
		t.Error("a limit that there is not")
	}
}

// TestLint: names and helps are as Prometheus wants them, also of a node whose parts are not there yet.
func TestLint(t *testing.T) {
	nodes := map[string]*Metrics{"empty": New(Config{}), "full": start(t, "aaaa", testkit.NATS(t), testkit.Redis(t)).m}
	for name, m := range nodes {
		m.requests.WithLabelValues("POST", "201").Inc()
		problems, err := testutil.GatherAndLint(m.registry)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", name, p.Metric, p.Text)
		}
		rec := httptest.NewRecorder()
		m.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		if body := rec.Body.String(); rec.Code != 200 || !strings.Contains(body, "\nweever_build_info{go=") {
			t.Errorf("%s: %d", name, rec.Code)
		}
		for line := range strings.Lines(rec.Body.String()) { // none that the README does not tell of
			if _, of, ok := strings.Cut(line, "# TYPE "); ok && !strings.HasPrefix(of, prefix) && !strings.HasPrefix(of, "go_") && !strings.HasPrefix(of, "process_") {
				t.Errorf("%s: there is also %s", name, of)
			}
		}
	}
}

// TestEveryMetricIsThere: what the README lists, a node that has everything shows.
func TestEveryMetricIsThere(t *testing.T) {
	n := start(t, "aaaa", testkit.NATS(t), testkit.Redis(t))
	stream, unpublish := n.publish(key(t, ""))
	defer unpublish()
	stream.WritePackets(frame(1, true))
	n.m.requests.WithLabelValues("POST", "201").Inc()
	n.m.Publishers()
	n.m.Viewers()
	n.m.Probe("redis", nil)
	shown := map[string]bool{"weever_cpu_limit_ratio": true} // the one limit that this node does not have
	for series := range n.values() {
		name, _, _ := strings.Cut(series, "{")
		shown[name] = true
	}
	for _, r := range rows() {
		if !shown[r.name] {
			t.Errorf("%s is in the README, but the node does not show it", r.name)
		}
		delete(shown, r.name)
	}
	for name := range shown {
		if strings.HasPrefix(name, prefix) {
			t.Errorf("%s is not in the README", name)
		}
	}
}

// watched returns a function that writes one packet to a viewer whose track is counted and whose times are measured.
func watched(tb testing.TB) (write func()) {
	tb.Helper()
	m := New(Config{})
	stream, err := fanout.NewStream(fanout.StreamConfig{Codec: "video/VP8", Clock: 90000})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stream.Close)
	var book outlet.Book
	viewers := outlet.New(outlet.Config{Book: &book, Clock: life.NewClock(time.Now(), m.Viewers())})
	track, err := viewers.Open(webrtc.RTPCodecTypeVideo)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(viewers.CloseAll)
	if _, err := track.Bind(&transport{}); err != nil {
		tb.Fatal(err)
	}
	track.Start()
	track.Switch(stream, nil)
	burst := frame(0, true)
	payload, seq := burst[0].Payload, uint16(0)
	return func() {
		seq++
		burst = burst[:1]
		burst[0] = fanout.Packet{Seq: seq, Timestamp: uint32(seq) * 3000, Marker: true, Payload: payload}
		stream.WritePackets(burst)
	}
}

// TestPacketsDoNotAllocate, nor do the instruments.
func TestPacketsDoNotAllocate(t *testing.T) {
	write := watched(t)
	for range 3000 {
		write()
	}
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	m := New(Config{})
	hop, times := m.Hop(), m.Viewers()
	if n := testing.AllocsPerRun(100, func() {
		hop(time.Millisecond)
		times.Keyframe(time.Second)
		times.Media(time.Second)
	}); n != 0 {
		t.Errorf("%v allocations for what is measured", n)
	}
}

func BenchmarkPacket(b *testing.B) {
	write := watched(b)
	b.ReportAllocs()
	for b.Loop() {
		write()
	}
}

// BenchmarkScrape is what a scrape costs a node with a thousand outgoing tracks.
func BenchmarkScrape(b *testing.B) {
	n := &node{t: b, instance: "aaaa"}
	n.m = New(Config{Sessions: n.sessions})
	viewers := outlet.New(outlet.Config{Book: &n.tracks, Clock: life.NewClock(time.Now(), life.Times{})})
	for range 1000 {
		if _, err := viewers.Open(webrtc.RTPCodecTypeVideo); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.m.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
