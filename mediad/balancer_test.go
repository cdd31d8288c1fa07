package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client"
	"weever/mediad/internal/control"
	"weever/mediad/internal/sdpfrag"
	"weever/mediad/internal/session"
	"weever/mediad/internal/tlsconf"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// What clients find when nodes are reached through a real balancer that takes turns and knows nothing of sessions.

// balance puts HAProxy in front of nodes, with no health checks: it must not matter that it does not know who is well.
func balance(t *testing.T, certFile string, nodes []*testNode) *testkit.Balancer {
	t.Helper()
	var behind []testkit.BalancedNode
	for _, n := range nodes {
		behind = append(behind, testkit.BalancedNode{Name: n.cfg.Node.ID, Addr: addrOf(n.public[0]).String()})
	}
	return testkit.HAProxy(t, certFile, behind...)
}

// passTurn asks for nothing until the node named has had its turn: the next request goes to another one.
func passTurn(t *testing.T, b *testkit.Balancer, node string) {
	t.Helper()
	for range 20 {
		if r := do(t, "HEAD", b.URL+"/pub/tea/nobody", "", nil); r.header.Get("X-Served-By") == node {
			return
		}
	}
	t.Fatalf("%s never has its turn", node)
}

// hop is one request that went through a balancer, and who answered it.
type hop struct {
	method string
	status int
	node   string
}

// trail is an HTTP transport that remembers what it carried.
type trail struct {
	mu   sync.Mutex
	hops []hop
}

// RoundTrip implements http.RoundTripper.
func (tr *trail) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := insecure().Transport.RoundTrip(r)
	if err == nil {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.hops = append(tr.hops, hop{r.Method, resp.StatusCode, resp.Header.Get("X-Served-By")})
	}
	return resp, err
}

// take gives the hops since the last time.
func (tr *trail) take() []hop {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	hops := tr.hops
	tr.hops = nil
	return hops
}

func (tr *trail) config(b *testkit.Balancer, rm, id string) client.Config {
	return client.Config{
		URL: b.URL, Room: rm, ID: id, LoopbackOnly: true, Trickle: true,
		HTTP: &http.Client{Transport: tr, Timeout: 10 * time.Second},
	}
}

// ownerOf names the node whose process a session belongs to, as its id says.
func ownerOf(t *testing.T, nodes []*testNode, location string) string {
	t.Helper()
	instance, _ := session.OwnerOf(location[strings.LastIndexByte(location, '/')+1:])
	i := slices.IndexFunc(nodes, func(n *testNode) bool { return n.instance == instance })
	if i < 0 {
		t.Fatalf("no node has the session %s", location)
	}
	return nodes[i].cfg.Node.ID
}

// certificate makes a self-signed certificate and its key in one file, as HAProxy wants them.
func certificate(t *testing.T) string {
	t.Helper()
	cert, err := tlsconf.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	file := filepath.Join(t.TempDir(), "balancer.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Publisher and viewer live whole lives, and all that follows each POST goes to nodes that do not own the session.
func TestLifeThroughABalancer(t *testing.T) {
	nodes := startNodes(t, 3)
	b := balance(t, certificate(t), nodes)
	var tr trail
	p, err := client.Publish(within(t, 10*time.Second), tr.config(b, "tea", "alice"), client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	publishing := ownerOf(t, nodes, p.Location())
	passTurn(t, b, publishing) // the viewer is not to land where the publisher did
	opened := tr.take()
	v := subscribeOffering(t, tr.config(b, "tea", "bob"), 1, 1)
	watching := ownerOf(t, nodes, v.Location())
	if watching == publishing {
		t.Fatalf("both are on %s", watching)
	}
	for owner, hops := range map[string][]hop{publishing: opened, watching: tr.take()} {
		if len(hops) != 2 || hops[0] != (hop{"POST", 201, owner}) || hops[1].method != "PATCH" || hops[1].status != 204 || hops[1].node == owner {
			t.Errorf("owned by %s, opened by way of %+v", owner, hops)
		}
	}
	plays(t, v, "alice", "audio0")

	for _, s := range []struct {
		*client.Session
		owner string
	}{{p.Session, publishing}, {v.Session, watching}} {
		passTurn(t, b, s.owner)
		tag := s.ETag()
		if err := s.ICERestart(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if hops := tr.take(); len(hops) != 1 || hops[0].status != 200 || hops[0].node == s.owner {
			t.Errorf("owned by %s, ICE restarted by way of %+v", s.owner, hops)
		}
		if s.ETag() == tag {
			t.Error("the ETag is the same after an ICE restart")
		}
		more(t, v, "alice", "audio0", 50)
	}

	passTurn(t, b, publishing)
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	hears(t, v, control.PubLeft{Pub: roomtest.FullID(t, "alice")})
	passTurn(t, b, watching)
	if err := v.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	hops := tr.take()
	if len(hops) != 2 || hops[0].node == publishing || hops[1].node == watching || hops[0].status != 200 || hops[1].status != 200 {
		t.Errorf("owned by %s and %s, ended by way of %+v", publishing, watching, hops)
	}
	for _, n := range nodes {
		await(t, "the end of all sessions", 5*time.Second, func() bool { p, v := n.sessions.Counts(); return p+v == 0 })
	}
}

// A candidate that is trickled to another node is used by the owner: it sends a check there, with the right credentials. That holds for
// the fragments that real clients send, too.
func TestTrickledCandidateReachesTheOwner(t *testing.T) {
	nodes := startNodes(t, 3)
	b := balance(t, "", nodes)
	for name, c := range map[string]struct{ lines, match string }{
		"RFC 8840":         {"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 2122260223 127.0.0.1 %s typ host\r\na=end-of-candidates\r\n", "If-Match"},
		"Eyevinn":          {"m=audio 9 RTP/AVP 0\r\na=mid:1\r\na=candidate:1733364072 0 udp 2122265343 127.0.0.1 %s typ host\r\n", "ETag"},
		"medooze, earlier": {"m=audio UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 2122260223 127.0.0.1 %s typ host generation 0 network-id 1\r\na=end-of-candiadates\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			offer, ours := silentOffer(t)
			posted := do(t, "POST", b.URL+"/pub/tea/alice", offer, sdpHeader)
			if posted.status != 201 {
				t.Fatalf("POST: %+v", posted)
			}
			socket, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			_, port, _ := net.SplitHostPort(socket.LocalAddr().String())
			passTurn(t, b, posted.header.Get("X-Served-By"))
			header := map[string]string{"Content-Type": sdpfrag.ContentType}
			if c.match != "" {
				header[c.match] = posted.header.Get("ETag")
			}
			r := do(t, "PATCH", b.URL+posted.header.Get("Location"),
				"a=ice-ufrag:"+ours.Ufrag+"\r\na=ice-pwd:"+ours.Pwd+"\r\n"+fmt.Sprintf(c.lines, port), header)
			if r.status != 204 || r.header.Get("X-Served-By") == posted.header.Get("X-Served-By") {
				t.Fatalf("PATCH: %+v", r)
			}
			packet := make([]byte, 1500)
			if err := socket.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, _, err := socket.ReadFrom(packet)
			if err != nil {
				t.Fatalf("no check arrives at the candidate: %v", err)
			}
			user := ours.Ufrag + ":" + strings.Trim(posted.header.Get("ETag"), `"`) // RFC 8445 section 7.2.2
			if packet = packet[:n]; !bytes.HasPrefix(packet, []byte{0, 1}) || !bytes.Contains(packet, []byte(user)) {
				t.Errorf("not a check for %s: %q", user, packet)
			}
		})
	}
}

// silentOffer is the offer of a client that never sends anything which could tell where it is, and its ICE credentials.
func silentOffer(t *testing.T) (string, sdpfrag.Fragment) {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := sdpfrag.FromSDP(offer.SDP)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP, ours
}

// A node that is full answers 503; the balancer, which does not know, tries the next with the same offer, and the client sees nothing of it.
func TestFullNodeIsPassedOver(t *testing.T) {
	c := newCluster(t, 2)
	full := c.config(0)
	full.Node.MaxSessions = 1
	nodes := []*testNode{start(t, full), start(t, c.config(1))}
	publish(t, nodes[0], "tea", "alice", client.Microphone())
	b := balance(t, "", nodes)
	var tr trail
	for _, id := range []string{"bob", "carol", "dave"} {
		passTurn(t, b, "node-1") // the full one is next
		p, err := client.Publish(within(t, 10*time.Second), tr.config(b, "tea", id), client.Microphone())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Hangup)
		if hops := tr.take(); hops[0] != (hop{"POST", 201, "node-1"}) {
			t.Errorf("%s: %+v", id, hops)
		}
	}
}
