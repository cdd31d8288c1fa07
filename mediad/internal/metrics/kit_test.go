package metrics

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"weever/mediad/internal/admission"
	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/fence"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/reaper"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/session"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/turnstile"
	"weever/mediad/internal/session/viewer/bandwidth"
	"weever/mediad/internal/session/viewer/outlet"
	"weever/mediad/internal/talk"
	"weever/mediad/internal/udpio"
	"weever/shared/events"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// node is the parts of a media node that count, with its Metrics.
type node struct {
	t        testing.TB
	m        *Metrics
	relay    *relay.Relay
	instance string
	tracks   outlet.Book // as a session.Service has it
}

// start starts a node's parts on a bus.
func start(t testing.TB, instance, natsURL, redisURL string) *node {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	n := &node{t: t, instance: instance}
	media, control := connect(t, natsURL), connect(t, natsURL)
	calls, err := nodecall.New(control, "test", instance, log)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := udpio.Listen(udpio.Config{Interfaces: []string{"lo"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	bus := events.New(control, "test", log)
	rooms := roster.New(roster.Config{Bus: bus, Log: log})
	hub := talk.New(talk.Config{Bus: bus, Instance: instance, Log: log})
	gate := fence.New(fence.Config{Connected: control.IsConnected, Log: log})
	n.m = New(Config{
		Version: "v1", UDP: udp.Stats, Talk: hub.Drops, Calls: calls.Stats, Events: bus.Stats, Rooms: rooms.Stats,
		Relay: func() relay.Stats { return n.relay.Stats() },
		Redis: redisdbtest.Open(t, redisURL).Stats,
		NATS: map[string]func() nats.Statistics{
			"media": media.Stats, "control": control.Stats,
		},
		Fence:    func() (bool, fence.Stats) { return gate.Open(), gate.Stats() },
		Sessions: n.sessions,
		Reaper: func() reaper.Stats {
			return reaper.Stats{Nodes: map[reaper.Kind]int{{Region: "eu\xff", Version: "v1"}: 2}, Reaped: 1}
		},
		LeaseAge: func() (time.Duration, bool) { return 1500 * time.Millisecond, true },
		Ready:    func() bool { return true },
		Cert:     func() time.Time { return time.Unix(1_800_000_000, 0) },
		Drain:    func() (bool, int) { return true, 3 },
		Backends: func() map[string]bool { return map[string]bool{"redis": true, "nats": false} },
		Load: func() []admission.Limit {
			return []admission.Limit{{Name: admission.Sessions, Value: 5, Max: 10}, {Name: admission.Egress, Value: 16, Max: 8, Full: true}, {Name: admission.CPU}}
		},
	})
	n.relay, err = relay.New(relay.Config{
		Media: media, Calls: calls, Namespace: "test", Instance: instance, Log: log, Hop: n.m.Hop(), TTL: time.Second, Renew: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = calls.Run(ctx) })
	parts.Go(func() { _ = n.relay.Run(ctx) })
	t.Cleanup(parts.Wait)
	t.Cleanup(cancel)
	select {
	case <-calls.Ready():
	case <-time.After(patience):
		t.Fatal("node calls are not ready")
	}
	return n
}

func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// sessions stands in for a session.Service, but for the tracks.
func (n *node) sessions() session.Stats {
	return session.Stats{
		Running: map[session.Standing]int{{Role: room.Pub, State: life.Away}: 2, {Role: room.Pub, State: life.Live}: 1},
		Joins:   map[turnstile.Key]uint64{{Role: room.Pub, Word: "ok"}: 4, {Role: room.Sub, Word: "full"}: 5},
		Ends:    map[turnstile.Key]uint64{{Role: room.Sub, Word: "kicked"}: 6},
		Tracks:  n.tracks.Read(),
		Pion:    map[string]uint64{"srtp_invalid": 9},
		Links: bandwidth.Total{
			Now: bandwidth.Sum{States: [congestion.States]int{congestion.Steady: 7, congestion.Blind: 1}},
			Sum: bandwidth.Sum{Stats: congestion.Stats{Reports: 90, Malformed: 2, Repeated: 3, Cuts: 8}},
		},
	}
}

// values are all series of the node as "name{label,label}", labels in the order of their names; of a histogram the number of
// observations.
func (n *node) values() map[string]float64 {
	n.t.Helper()
	families, err := n.m.registry.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = value(m)
		}
	}
	return out
}

func value(m *dto.Metric) float64 {
	switch {
	case m.GetHistogram() != nil:
		return float64(m.GetHistogram().GetSampleCount())
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	}
	return 0
}

// want compares some of the node's values.
func (n *node) want(when string, want map[string]float64) {
	n.t.Helper()
	got := n.values()
	for series, v := range want {
		if g, there := got[series]; !there || g != v {
			n.t.Errorf("%s, %s: %s is %v (%v), want %v", when, n.instance, series, g, there, v)
		}
	}
}

// await waits until a value is as it should be.
func (n *node) await(series string, ok func(float64) bool) {
	n.t.Helper()
	end, again := time.After(patience), time.NewTicker(2*time.Millisecond)
	defer again.Stop()
	for !ok(n.values()[series]) {
		select {
		case <-again.C:
		case <-end:
			n.t.Fatalf("%s: waited in vain for %s, which is %v", n.instance, series, n.values()[series])
		}
	}
}

func is(want float64) func(float64) bool { return func(got float64) bool { return got == want } }

// publish publishes a stream of VP8 on the node.
func (n *node) publish(k relay.Key) (s *fanout.Stream, unpublish func()) {
	n.t.Helper()
	s, err := fanout.NewStream(fanout.StreamConfig{Codec: "video/VP8", Clock: 90000, KeyframeWish: func() {}})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(s.Close)
	unpublish, err = n.relay.Publish(k, s)
	if err != nil {
		n.t.Fatal(err)
	}
	return s, unpublish
}

func key(t testing.TB, layer string) relay.Key {
	t.Helper()
	rm, err := room.ParseName("lobby")
	if err != nil {
		t.Fatal(err)
	}
	who, err := room.ParseFullID("alice")
	if err != nil {
		t.Fatal(err)
	}
	return relay.Key{Room: rm, Publisher: who, Inc: 1, Track: "video0", Layer: layer}
}

// frame is one frame of a packet of a hundred bytes.
func frame(seq uint16, key bool) []fanout.Packet {
	payload := make([]byte, 100)
	payload[0], payload[1] = 0x10, 1
	if key {
		copy(payload[1:], []byte{0, 0, 0, 0x9d, 0x01, 0x2a})
	}
	return []fanout.Packet{{Seq: seq, Timestamp: uint32(seq) * 3000, Marker: true, Payload: payload}}
}

// The SSRCs of transport.
const ssrc, rtxSSRC = 0x1111, 0x2222

// transport stands in for pion beneath an outgoing track: it takes everything and remembers the last number.
type transport struct {
	mu   sync.Mutex
	last uint16
}

func (w *transport) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/VP8", ClockRate: 90000}, PayloadType: 96},
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/rtx", ClockRate: 90000, SDPFmtpLine: "apt=96"}, PayloadType: 97},
	}
}
func (w *transport) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (w *transport) SSRC() webrtc.SSRC                                      { return ssrc }
func (w *transport) SSRCRetransmission() webrtc.SSRC                        { return rtxSSRC }
func (w *transport) SSRCForwardErrorCorrection() webrtc.SSRC                { return 0 }
func (w *transport) WriteStream() webrtc.TrackLocalWriter                   { return w }
func (w *transport) ID() string                                             { return "sender" }
func (w *transport) RTCPReader() interceptor.RTCPReader                     { return nil }
func (w *transport) Write([]byte) (int, error)                              { return 0, nil }
func (w *transport) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.SSRC == ssrc {
		w.last = h.SequenceNumber
	}
	return 12 + len(payload), nil
}

func (w *transport) newest() uint16 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func marshal(t testing.TB, p rtcp.Packet) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
