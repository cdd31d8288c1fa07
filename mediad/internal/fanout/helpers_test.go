package fanout

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"weever/mediad/internal/fanout/headerext"
	"weever/mediad/internal/udpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vp8 returns a payload of size bytes that begins, or continues, a key or delta frame, and whose last bytes name it.
func vp8(key, start bool, name uint32, size int) []byte {
	b := make([]byte, max(size, 16))
	b[0] = 0x80
	if start {
		b[0] = 0x90
	}
	b[1] = 0x80
	binary.BigEndian.PutUint16(b[2:], 0x8000|uint16(name)&0x7fff)
	b[4] = 1 // delta
	if key {
		copy(b[4:], []byte{0, 0, 0, 0x9d, 0x01, 0x2a})
	}
	binary.BigEndian.PutUint32(b[len(b)-4:], name)
	return b
}

// raw makes the bytes of an RTP packet.
func raw(tb testing.TB, h rtp.Header, payload []byte) []byte {
	tb.Helper()
	h.Version = 2
	b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func newTestStream(tb testing.TB, cfg StreamConfig) *Stream {
	tb.Helper()
	if cfg.Codec == "" {
		cfg.Codec, cfg.Clock = "video/VP8", 90000
	}
	s, err := NewStream(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// got is a copy of a packet that a sink was given, and when.
type got struct {
	Packet
	at time.Time
}

// recorder is a Sink that keeps copies.
type recorder struct {
	mu      sync.Mutex
	packets []got
	bursts  int
	reports []SenderReport
}

func (r *recorder) WritePackets(_ *udpio.Batch, burst []Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bursts++
	for _, p := range burst {
		p.Payload = append([]byte(nil), p.Payload...)
		r.packets = append(r.packets, got{p, time.Now()})
	}
}

func (r *recorder) WriteReport(_ *udpio.Batch, report SenderReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, report)
}

func (r *recorder) all() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]got(nil), r.packets...)
}

// seqs lists the sequence numbers of packets.
func seqs(packets []got) (list []uint16) {
	for _, p := range packets {
		list = append(list, p.Seq)
	}
	return list
}

// span returns from, from+1, … to.
func span(from, to uint16) (list []uint16) {
	for s := from; s != to+1; s++ {
		list = append(list, s)
	}
	return list
}

// encoder writes VP8 frames to a stream.
type encoder struct {
	tb     testing.TB
	stream *Stream
	seq    uint16
	ts     uint32
}

// frame writes one frame of n packets of size bytes and advances the clock by a thirtieth of a second.
func (e *encoder) frame(key bool, n, size int) {
	for i := range n {
		h := rtp.Header{SequenceNumber: e.seq, Timestamp: e.ts, Marker: i == n-1, PayloadType: 96}
		if err := write(e.stream, raw(e.tb, h, vp8(key, i == 0, uint32(e.seq), size)), headerext.IDs{}); err != nil {
			e.tb.Fatal(err)
		}
		e.seq++
	}
	e.ts += 3000
}

// entrance hands packets to streams as they would come from the network.
type entrance struct {
	header rtp.Header
	one    [1]Packet
}

func (e *entrance) write(s *Stream, raw []byte, ids headerext.IDs) (err error) {
	if e.one[0], err = Parse(&e.header, raw, ids); err == nil {
		s.WritePackets(e.one[:])
	}
	return err
}

func write(s *Stream, raw []byte, ids headerext.IDs) error { return new(entrance).write(s, raw, ids) }
