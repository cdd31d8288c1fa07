package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/udpio"
	"weever/shared/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 10 * time.Second

// node is what a media node has for relaying.
type node struct {
	*Relay
	media, control *nats.Conn
	instance       string
	stop           func() // ends relay and calls and waits for them
}

func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectBufSize(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// startNode starts a node whose two connections may be to different servers. Leases live one second.
func startNode(t testing.TB, instance, mediaURL, controlURL string) *node {
	t.Helper()
	n := &node{media: connect(t, mediaURL), control: connect(t, controlURL), instance: instance}
	log := slog.New(slog.DiscardHandler)
	calls, err := nodecall.New(n.control, "test", instance, log)
	if err != nil {
		t.Fatal(err)
	}
	n.Relay, err = New(Config{Media: n.media, Calls: calls, Namespace: "test", Instance: instance, Log: log, TTL: time.Second, Renew: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{calls.Run, n.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("%s: %v", instance, err)
			}
		})
	}
	n.stop = sync.OnceFunc(func() {
		cancel()
		parts.Wait()
	})
	t.Cleanup(n.stop)
	select {
	case <-calls.Ready():
	case <-time.After(limit):
		t.Fatal("node calls are not ready")
	}
	return n
}

func (n *node) owner() room.Owner {
	return room.Owner{Node: n.instance, Instance: n.instance, Epoch: 1}
}

var (
	videoTrack = room.Track{ID: "video0", Kind: "video", Codec: "video/VP8", Clock: 90000}
	audioTrack = room.Track{ID: "audio0", Kind: "audio", Codec: "audio/opus", Clock: 48000}
)

func key(t testing.TB, track, layer string) Key {
	t.Helper()
	name, err := room.ParseName("room~1")
	if err != nil {
		t.Fatal(err)
	}
	who, err := room.ParseFullID("alice-screen+tab2")
	if err != nil {
		t.Fatal(err)
	}
	return Key{Room: name, Publisher: who, Inc: 12, Track: track, Layer: layer}
}

// publisher publishes a stream on a node.
type publisher struct {
	t         testing.TB
	stream    *fanout.Stream
	unpublish func()
	seq       uint16
	ts        uint32
	mu        sync.Mutex
	wishes    int
}

func publish(t testing.TB, n *node, k Key, track room.Track) *publisher {
	t.Helper()
	p := &publisher{t: t, seq: 65530}
	var err error
	p.stream, err = fanout.NewStream(fanout.StreamConfig{Codec: track.Codec, Clock: track.Clock, KeyframeWish: func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wishes++
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stream.Close)
	if p.unpublish, err = n.Publish(k, p.stream); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.unpublish)
	return p
}

func (p *publisher) wished() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wishes
}

// payload of a frame's packet; what follows the VP8 header names it.
func payload(key, start bool, seq uint16) []byte {
	b := make([]byte, 1000)
	b[0] = 0x00
	if start {
		b[0] = 0x10
	}
	b[1] = 1
	if key {
		copy(b[1:], []byte{0, 0, 0, 0x9d, 0x01, 0x2a})
	}
	for i := 8; i+2 <= len(b); i += 2 {
		binary.BigEndian.PutUint16(b[i:], seq)
	}
	return b
}

// frame writes one frame of n packets, in bursts as they may come from the network.
func (p *publisher) frame(key bool, n int) {
	for i := range n {
		p.stream.WritePackets([]fanout.Packet{{
			Seq: p.seq, Timestamp: p.ts, Marker: i == n-1, Payload: payload(key, i == 0, p.seq), HasLevel: true, Level: uint8(p.seq),
		}})
		p.seq++
	}
	p.ts += 3000
}

// viewer is a Sink that remembers what came.
type viewer struct {
	t       testing.TB
	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each burst
	packets []fanout.Packet
	reports []fanout.SenderReport
}

func newViewer(t testing.TB) *viewer { return &viewer{t: t, changed: make(chan struct{})} }

func (v *viewer) WritePackets(_ *udpio.Batch, burst []fanout.Packet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range burst {
		p.Payload = bytes.Clone(p.Payload)
		v.packets = append(v.packets, p)
	}
	close(v.changed)
	v.changed = make(chan struct{})
}

func (v *viewer) WriteReport(_ *udpio.Batch, r fanout.SenderReport) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reports = append(v.reports, r)
	close(v.changed)
	v.changed = make(chan struct{})
}

// await waits until done is true of what came.
func (v *viewer) await(what string, done func(packets []fanout.Packet, reports []fanout.SenderReport) bool) {
	v.t.Helper()
	end := time.After(limit)
	for {
		v.mu.Lock()
		ok, changed := done(v.packets, v.reports), v.changed
		last := 0
		if n := len(v.packets); n > 0 {
			last = int(v.packets[n-1].Seq)
		}
		n := len(v.packets)
		v.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-end:
			v.t.Fatalf("waited in vain for %s: %d packets came, the last was %d", what, n, last)
		}
	}
}

func gotSome(packets []fanout.Packet, _ []fanout.SenderReport) bool { return len(packets) > 0 }

// awaitSeq waits for the packet with this number.
func (v *viewer) awaitSeq(seq uint16) {
	v.t.Helper()
	v.await("a packet", func(packets []fanout.Packet, _ []fanout.SenderReport) bool {
		return len(packets) > 0 && packets[len(packets)-1].Seq == seq
	})
}

// check compares what came with what frames of the publisher from seq on must be.
func (v *viewer) check(from, to uint16) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := int(to-from) + 1; len(v.packets) != n {
		v.t.Errorf("%d packets, want %d", len(v.packets), n)
	}
	for i, p := range v.packets {
		want := payload(p.Desc.Keyframe, p.Payload[0] == 0x10, from+uint16(i))
		if p.Seq != from+uint16(i) || !bytes.Equal(p.Payload[8:], want[8:]) || len(p.Payload) != len(want) || !p.HasLevel || p.Level != uint8(p.Seq) {
			v.t.Fatalf("packet %d is %d with payload %x…", i, p.Seq, p.Payload[:12])
		}
	}
}

func open(t testing.TB, n *node, k Key, owner room.Owner, track room.Track) *Handle {
	t.Helper()
	h, err := n.Open(k, owner, track)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}
