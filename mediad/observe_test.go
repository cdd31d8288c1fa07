package main

import (
	"bufio"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// series reads the value of each series of a node whose name and labels match; pattern is a regular expression for the whole of them.
func series(t *testing.T, n *testNode, pattern string) (sum float64) {
	t.Helper()
	match := regexp.MustCompile("^(?:" + pattern + ")$")
	lines := bufio.NewScanner(strings.NewReader(do(t, "GET", n.PrivateURL()+"/metrics", "", nil).body))
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") || !match.MatchString(name) {
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		sum += v
	}
	return sum
}

// An operator sees a publisher on one node and its viewer on another, and afterwards that they were there.
func TestOperatorSeesIt(t *testing.T) {
	nodes := startNodes(t, 2)
	p := publish(t, nodes[0], "tea", "alice")
	v := subscribe(t, nodes[1], "tea", "bob")
	plays(t, v, "alice", "video0")
	plays(t, v, "alice", "audio0")
	more(t, v, "alice", "video0", 20)
	await(t, "a look at the other nodes", 20*time.Second, func() bool { return series(t, nodes[0], `weever_nodes{.*}`) == 2 })
	await(t, "a measured rate", 20*time.Second, func() bool { return series(t, nodes[0], "weever_egress_bytes_per_second") > 0 })
	for i, want := range []map[string]float64{
		{
			"weever_publishers": 1, "weever_viewers": 0, `weever_sessions{role="pub",state="live"}`: 1, `weever_joins_total{outcome="ok",role="pub"}`: 1,
			`weever_tracks_published{codec="vp8",kind="video"}`: 1, `weever_tracks_published{codec="opus",kind="audio"}`: 1,
			`weever_relay_leases{side="granted"}`: 2, `weever_join_connected_seconds_count{role="pub"}`: 1, "weever_rooms": 1,
			`weever_http_requests_total{code="201",method="POST"}`: 1, "weever_ready": 1, "weever_draining": 0, "weever_fence_open": 1,
			`weever_backend_up{backend="(redis|nats|lease)"}`: 3,
		},
		{
			"weever_viewers": 1, `weever_sessions{role="sub",state="live"}`: 1, `weever_relay_leases{side="held"}`: 2, "weever_viewer_tracks{.*}": 2,
			`weever_join_answer_seconds_count{role="sub"}`: 1, `weever_join_connected_seconds_count{role="sub"}`: 1,
			"weever_join_media_seconds_count": 1, "weever_keyframe_wait_seconds_count": 1, `weever_drops_total{place="relay",.*}`: 0,
		},
	} {
		for name, value := range want {
			if got := series(t, nodes[i], name); got != value {
				t.Errorf("node %d: %s is %v, want %v", i, name, got, value)
			}
		}
	}
	for i, names := range [][]string{
		{
			`weever_udp_bytes_total{direction="in"}`, `weever_rtp_received_packets_total{codec="vp8",kind="video",origin="local"}`,
			`weever_relay_messages_total{direction="out"}`, "weever_redis_commands_total", "weever_lease_age_seconds",
			`weever_backend_probe_seconds_count{backend="redis"}`, `weever_nats_bytes_total{connection="media",direction="out"}`, "go_goroutines",
		},
		{
			`weever_udp_bytes_total{direction="out"}`, `weever_rtp_sent_packets_total{kind="video"}`, `weever_relay_messages_total{direction="in"}`,
			"weever_relay_hop_seconds_count", `weever_node_calls_total{direction="out",outcome="ok"}`, `weever_room_heals_total{result="ok"}`,
		},
	} {
		for _, name := range names {
			if series(t, nodes[i], name) <= 0 {
				t.Errorf("node %d: %s is 0", i, name)
			}
		}
	}
	sent := `weever_rtp_sent_packets_total{kind="video"}`
	before := series(t, nodes[1], sent)
	if err := v.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	for i, ends := range []string{`weever_session_ends_total{reason="deleted",role="pub"}`, `weever_session_ends_total{reason="deleted",role="sub"}`} {
		await(t, "the end of the sessions", 10*time.Second, func() bool { return series(t, nodes[i], ends) == 1 })
	}
	if after := series(t, nodes[1], sent); after < before {
		t.Errorf("%s fell from %v to %v with the viewer's end", sent, before, after)
	}
	if n := series(t, nodes[0], "weever_publishers") + series(t, nodes[1], "weever_viewers"); n != 0 {
		t.Errorf("%v sessions are left", n)
	}
}

// An operator sees when the node's certificate expires, and nothing of the kind where it has none.
func TestOperatorSeesTheCertificate(t *testing.T) {
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Public.PlainHTTP, cfg.Public.CertFile = false, certificate(t)
	cfg.Public.KeyFile = cfg.Public.CertFile // holds both
	const name = "weever_certificate_expiry_timestamp_seconds"
	n := start(t, cfg)
	if got, want := series(t, n, name), n.tls.Ends().Unix(); got != float64(want) || want < time.Now().Unix() {
		t.Errorf("%s is %v, want %d", name, got, want)
	}
	if got := series(t, start(t, c.config(1)), name); got != 0 {
		t.Errorf("%s is %v without a certificate", name, got)
	}
}

// A viewer who came before everybody waited for people, not for the node.
func TestWaitingForPeopleIsNotMeasured(t *testing.T) {
	n := startNodes(t, 1)[0]
	v := subscribe(t, n, "tea", "bob")
	publish(t, n, "tea", "alice")
	plays(t, v, "alice", "video0")
	more(t, v, "alice", "video0", 20)
	if got := series(t, n, "weever_join_media_seconds_count"); got != 0 {
		t.Errorf("the wait was measured %v times", got)
	}
	late := subscribe(t, n, "tea", "carol")
	plays(t, late, "alice", "video0")
	if got := series(t, n, "weever_join_media_seconds_count"); got != 1 {
		t.Errorf("of two viewers %v waited for the node, want 1", got)
	}
}
