package intake

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/pion/rtp"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/udpio"
	"weever/shared/room"
	"weever/shared/testkit"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

const limit = 10 * time.Second

// node is what a media node has for publishers.
type node struct {
	relay *relay.Relay
	peers *peer.Factory
}

// newNode starts one, which ends with the test.
func newNode(tb testing.TB) *node {
	tb.Helper()
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	log := discard()
	nc, err := nats.Connect(testkit.NATS(tb), nats.ReconnectBufSize(-1))
	check(err)
	tb.Cleanup(nc.Close)
	calls, err := nodecall.New(nc, "test", "node", log)
	check(err)
	n := &node{}
	n.relay, err = relay.New(relay.Config{Media: nc, Calls: calls, Namespace: "test", Instance: "node", Log: log})
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{calls.Run, n.relay.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				tb.Error(err)
			}
		})
	}
	tb.Cleanup(func() {
		cancel()
		parts.Wait()
	})
	mux, err := udpio.Listen(udpio.Config{Interfaces: []string{"lo"}, Log: log})
	check(err)
	tb.Cleanup(func() { _ = mux.Close() })
	n.peers, err = peer.New(peer.Config{UDPMux: mux, Loopback: true, ResumeWindow: 10 * time.Second, Log: log})
	check(err)
	return n
}

// Numbers of header extensions in the offers.
const (
	extLevel, extWide, extMid, extRid, extRepaired = 1, 3, 4, 10, 11
)

// section is an m-line of a publisher as Chromium writes it; more are lines of its own.
func section(kind, mid string, more ...string) string {
	lines := []string{
		"c=IN IP4 0.0.0.0", "a=rtcp-mux", "a=rtcp-rsize", "a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901",
		"a=fingerprint:sha-256 " + strings.Repeat("AA:", 31) + "AA", "a=setup:actpass", "a=mid:" + mid,
		fmt.Sprint("a=extmap:", extWide, " http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
		fmt.Sprint("a=extmap:", extMid, " urn:ietf:params:rtp-hdrext:sdes:mid"),
	}
	if kind == "audio" {
		lines = append([]string{"m=audio 9 UDP/TLS/RTP/SAVPF 111 13"}, append(lines, "a=rtpmap:111 opus/48000/2", "a=rtpmap:13 CN/8000", "a=rtcp-fb:111 transport-cc",
			fmt.Sprint("a=extmap:", extLevel, " urn:ietf:params:rtp-hdrext:ssrc-audio-level"))...)
	} else {
		lines = append([]string{"m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99"}, append(lines,
			fmt.Sprint("a=extmap:", extRid, " urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
			fmt.Sprint("a=extmap:", extRepaired, " urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
			"a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 transport-cc", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96",
			"a=rtpmap:98 VP9/90000", "a=fmtp:98 profile-id=0", "a=rtcp-fb:98 nack", "a=rtpmap:99 rtx/90000", "a=fmtp:99 apt=98")...)
	}
	if !strings.Contains(strings.Join(more, " "), "inactive") {
		lines = append(lines, "a=sendonly")
	}
	return strings.Join(append(lines, more...), "\r\n") + "\r\n"
}

// offer is a description with these sections, which have the mids 0, 1, …
func offer(sections ...string) string {
	mids := ""
	for i := range sections {
		mids += fmt.Sprint(" ", i)
	}
	return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE" + mids + "\r\n" + strings.Join(sections, "")
}

// stage is an Intake whose packets a test makes.
type stage struct {
	tb testing.TB
	*Intake
	node  *node
	key   relay.Key
	texts []string // answers
}

func (n *node) key(tb testing.TB) relay.Key {
	tb.Helper()
	name, err := room.ParseName("room")
	if err != nil {
		tb.Fatal(err)
	}
	who, err := room.ParseFullID("alice")
	if err != nil {
		tb.Fatal(err)
	}
	return relay.Key{Room: name, Publisher: who, Inc: 1}
}

// stage makes an Intake for a connection; both end with the test.
func (n *node) stage(tb testing.TB, pc *peer.Conn) *stage {
	tb.Helper()
	s := &stage{tb: tb, node: n, key: n.key(tb)}
	s.Intake = New(Config{Key: s.key, PC: pc.PeerConnection, Relay: n.relay, Log: discard()})
	tb.Cleanup(func() {
		s.Close()
		_ = pc.GracefulClose()
		s.Wait()
	})
	return s
}

// publish makes an Intake for what a real connection answers to an offer. It ends with the test.
func (n *node) publish(tb testing.TB, text string) *stage {
	tb.Helper()
	o, err := peer.ParseOffer(room.Pub, text)
	if err != nil {
		tb.Fatal(err)
	}
	pc, err := n.peers.Accept(o)
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := peer.Answer(tb.Context(), pc.PeerConnection)
	if err != nil {
		tb.Fatal(err)
	}
	s := n.stage(tb, pc)
	if err := s.Declare(o.Sections, answer); err != nil {
		tb.Fatal(err)
	}
	s.texts = append(s.texts, answer)
	return s
}

// again declares a later offer, for the answer that was given before: pion is not asked.
func (s *stage) again(text string) {
	s.tb.Helper()
	o, err := peer.ParseRenegotiation(text, map[string]bool{"0": true, "1": true})
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := s.Declare(o.Sections, s.texts[0]); err != nil {
		s.tb.Error(err)
	}
}

// watch attaches a viewer to a stream: "video0", or "video0/h" of a layer.
func (s *stage) watch(name string) *viewer {
	s.tb.Helper()
	key := s.key
	key.Track, key.Layer, _ = strings.Cut(name, "/")
	h, err := s.node.relay.Open(key, room.Owner{Instance: "node"}, room.Track{})
	if err != nil {
		s.tb.Fatalf("%s: %v", name, err)
	}
	s.tb.Cleanup(h.Close)
	v := &viewer{stream: h.Stream()}
	s.tb.Cleanup(h.Stream().AttachLive(v))
	return v
}

// viewer is a Sink that remembers what came.
type viewer struct {
	stream *fanout.Stream

	mu      sync.Mutex
	packets []fanout.Packet
	reports []fanout.SenderReport
}

func (v *viewer) WritePackets(_ *udpio.Batch, burst []fanout.Packet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range burst {
		p.Payload = bytes.Clone(p.Payload)
		v.packets = append(v.packets, p)
	}
}

func (v *viewer) WriteReport(_ *udpio.Batch, r fanout.SenderReport) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reports = append(v.reports, r)
}

// seqs are the numbers that came.
func (v *viewer) seqs() (out []uint16) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.packets {
		out = append(out, p.Seq)
	}
	return out
}

// sent is a packet of a publisher.
type sent struct {
	ssrc           uint32
	pt             uint8
	seq            uint16
	mid, rid, fix  string // header extensions; fix: the layer that is repaired
	payload        []byte // none: "payload", and of RTX the number before it
	osn            uint16 // of RTX
	wide           uint16 // 0: none
	marker, silent bool   // silent: without a payload
}

func (p sent) raw(tb testing.TB) []byte {
	tb.Helper()
	h := rtp.Header{Version: 2, SSRC: p.ssrc, PayloadType: p.pt, SequenceNumber: p.seq, Timestamp: uint32(p.seq) * 3000, Marker: p.marker}
	for id, text := range map[uint8]string{extMid: p.mid, extRid: p.rid, extRepaired: p.fix} {
		if text != "" {
			if err := h.SetExtension(id, []byte(text)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if p.wide != 0 {
		if err := h.SetExtension(extWide, []byte{byte(p.wide >> 8), byte(p.wide)}); err != nil {
			tb.Fatal(err)
		}
	}
	payload := p.payload
	if payload == nil && !p.silent {
		payload = []byte("payload")
		if p.pt == 97 || p.pt == 99 {
			payload = append([]byte{byte(p.osn >> 8), byte(p.osn)}, payload...)
		}
	}
	b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// send hands packets over as one burst, and returns how many were of a track.
func (s *stage) send(packets ...sent) (taken int) {
	s.tb.Helper()
	for _, p := range packets {
		if s.RTP(p.raw(s.tb)) {
			taken++
		}
	}
	s.Done()
	return taken
}

// accounts is how many SSRCs have one.
func (s *stage) accounts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lanes)
}

// lanesOf are an Intake's, which is locked.
func lanesOf(s *stage) (out []*lane) {
	for _, l := range s.lanes {
		out = append(out, l)
	}
	return out
}
