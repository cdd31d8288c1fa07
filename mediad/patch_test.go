package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/room/roomtest"
)

// bareViewer connects a plain pion client with a control channel as a subscriber; it returns the reply to its POST and its own ICE
// credentials as a fragment.
func bareViewer(t *testing.T, n *testNode, path string) (reply, sdpfrag.Fragment) {
	t.Helper()
	se := webrtc.SettingEngine{}
	se.SetIncludeLoopbackCandidate(true)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	if _, err := pc.CreateDataChannel("control", nil); err != nil {
		t.Fatal(err)
	}
	desc, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(desc); err != nil {
		t.Fatal(err)
	}
	<-gathered
	text := pc.LocalDescription().SDP
	r := do(t, "POST", n.PublicURL()+path, text, sdpHeader)
	if r.status != 201 {
		t.Fatalf("POST: %+v", r)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: r.body}); err != nil {
		t.Fatal(err)
	}
	await(t, "the viewer's connection", 5*time.Second, func() bool { return pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
	own, err := sdpfrag.FromSDP(text)
	if err != nil {
		t.Fatal(err)
	}
	return r, own
}

// patcher sends fragments to the session of a POST's reply, by way of node n.
func patcher(t *testing.T, n *testNode, posted reply) func(body, match string) reply {
	t.Helper()
	return func(body, match string) reply {
		t.Helper()
		h := map[string]string{"Content-Type": sdpfrag.ContentType}
		if match != "" {
			h["If-Match"] = match
		}
		return do(t, "PATCH", n.PublicURL()+posted.header.Get("Location"), body, h)
	}
}

func credentials(ufrag string) string {
	return "a=ice-ufrag:" + ufrag + "\r\na=ice-pwd:0123456789012345678901\r\n"
}

const oneCandidate = "a=candidate:1 1 udp 2122260223 127.0.0.1 1000 typ host\r\n"

// The preconditions of RFC 9725 section 4.3.1, at the session's own node and at another that relays: both must say the same.
func TestPatchPreconditions(t *testing.T) {
	nodes := startNodes(t, 2)
	for name, at := range map[string]*testNode{"own node": nodes[0], "another node": nodes[1]} {
		t.Run(name, func(t *testing.T) {
			posted, own := bareViewer(t, nodes[0], "/sub/patch/"+strings.ReplaceAll(name, " ", "-"))
			patch := patcher(t, at, posted)
			first := posted.header.Get("ETag")
			old := "a=ice-ufrag:" + own.Ufrag + "\r\na=ice-pwd:" + own.Pwd + "\r\n"

			problem(t, patch("nonsense", `"nonsense"`), 400)
			problem(t, patch(oneCandidate, `"nonsense"`), 412)
			problem(t, patch(credentials("fresh"), `"nonsense"`), 412)
			problem(t, patch(oneCandidate, `W/`+first), 412)
			problem(t, patch("a=ice-ufrag:alone\r\n"+oneCandidate, ""), 400)
			for _, match := range []string{"", first, "*", `"*"`, `"other", ` + first} {
				if r := patch(old+oneCandidate, match); r.status != 204 || r.body != "" || r.header.Get("ETag") != "" {
					t.Errorf("trickle with If-Match %q: %+v", match, r)
				}
			}

			r := patch(credentials("second"), first)
			second := r.header.Get("ETag")
			if r.status != 200 || second == "" || second == first || !strings.Contains(r.body, "a=ice-ufrag:"+strings.Trim(second, `"`)+"\r\n") {
				t.Fatalf("restart: %+v", r)
			}
			for _, match := range []string{"", "*", `"*"`} { // the client lost the reply: it gets it again
				if again := patch(credentials("second"), match); again.status != 200 || again.body != r.body || again.header.Get("ETag") != second {
					t.Errorf("the restart again with If-Match %q: %+v", match, again)
				}
			}
			for _, match := range []string{"", second} {
				if r := patch(credentials("second")+oneCandidate, match); r.status != 204 {
					t.Errorf("trickle with the restart's credentials and If-Match %q: %+v", match, r)
				}
			}
			if r := patch(credentials("second"), second); r.status != 204 {
				t.Errorf("the restart's credentials with its tag: %+v", r)
			}
			problem(t, patch(credentials("second"), first), 412)
			problem(t, patch(oneCandidate, first), 412)
			problem(t, patch(old+oneCandidate, first), 412)
			problem(t, patch(old+oneCandidate, second), 412)
			problem(t, patch(old, "*"), 412)
			if r := patch(old+oneCandidate, ""); r.status != 204 {
				t.Errorf("late trickle without If-Match: %+v", r)
			}
			if r := patch(credentials("third"), `"*"`); r.status != 200 || r.header.Get("ETag") == second {
				t.Errorf("restart again: %+v", r)
			}
			if r := do(t, "DELETE", at.PublicURL()+posted.header.Get("Location"), "", map[string]string{"If-Match": `"nonsense"`}); r.status != 200 {
				t.Errorf("DELETE with If-Match: %+v", r)
			}
		})
	}
}

// A strict node wants If-Match with every PATCH, and with nothing else.
func TestPatchStrict(t *testing.T) {
	cfg := newCluster(t, 1).config(0)
	cfg.Public.StrictETags = true
	n := start(t, cfg)
	posted, _ := bareViewer(t, n, "/sub/strict/bob")
	patch := patcher(t, n, posted)
	problem(t, patch(oneCandidate, ""), 428)
	problem(t, patch(credentials("fresh"), ""), 428)
	if r := patch(oneCandidate, posted.header.Get("ETag")); r.status != 204 {
		t.Errorf("with the tag: %+v", r)
	}
	problem(t, do(t, "PATCH", n.PublicURL()+posted.header.Get("Location"), oneCandidate, sdpHeader), 415)
	if r := do(t, "DELETE", n.PublicURL()+posted.header.Get("Location"), "", nil); r.status != 200 {
		t.Errorf("DELETE: %+v", r)
	}
}

// A publisher that restarts ICE and then finds no way is away as soon as one that falls silent.
func TestRestartThatFindsNoWay(t *testing.T) {
	n := startNodes(t, 1)[0]
	v := subscribe(t, n, "tea", "bob")
	p := publish(t, n, "tea", "alice")
	plays(t, v, "alice", "video0")
	p.SetNetwork(false)
	began := time.Now()
	r := do(t, "PATCH", n.PublicURL()+pathOf(t, p.Location()), credentials("elsewhere")+oneCandidate,
		map[string]string{"Content-Type": sdpfrag.ContentType, "If-Match": "*"})
	if r.status != 200 {
		t.Fatalf("restart: %+v", r)
	}
	hears(t, v, control.PubAway{Pub: roomtest.FullID(t, "alice")})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("away after %v", took)
	}
}
