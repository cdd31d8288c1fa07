package down

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/headerext"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testSSRC, testRTX      = 0x1111, 0x2222
	levelID, orientationID = 3, 5
)

// sent is a copy of a packet that a viewer's transport was given.
type sent struct {
	rtp.Header
	payload []byte
	at      time.Time
}

// transport stands in for pion: it is bound to a track and keeps what is written.
type transport struct {
	codecs  []webrtc.RTPCodecParameters
	rtxSSRC webrtc.SSRC

	mu      sync.Mutex
	down    bool // swallow everything, as pion does before DTLS is up
	fail    error
	packets []sent
	reports []rtcp.Packet
}

var vp8AndFriends = []webrtc.RTPCodecParameters{
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/VP8", ClockRate: 90000}, PayloadType: 96},
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/rtx", ClockRate: 90000, SDPFmtpLine: "apt=96"}, PayloadType: 97},
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/H264", ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"}, PayloadType: 98},
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/H264", ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"}, PayloadType: 100},
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/H264", ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"}, PayloadType: 102},
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/rtx", ClockRate: 90000, SDPFmtpLine: "rtx-time=3000;apt=102"}, PayloadType: 103},
}

var opus = []webrtc.RTPCodecParameters{
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/opus", ClockRate: 48000, Channels: 2}, PayloadType: 111},
}

func (w *transport) CodecParameters() []webrtc.RTPCodecParameters { return w.codecs }

func (w *transport) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter {
	return []webrtc.RTPHeaderExtensionParameter{{URI: sdp.AudioLevelURI, ID: levelID}, {URI: headerext.OrientationURI, ID: orientationID}}
}
func (w *transport) SSRC() webrtc.SSRC                       { return testSSRC }
func (w *transport) SSRCRetransmission() webrtc.SSRC         { return w.rtxSSRC }
func (w *transport) SSRCForwardErrorCorrection() webrtc.SSRC { return 0 }
func (w *transport) WriteStream() webrtc.TrackLocalWriter    { return w }
func (w *transport) ID() string                              { return "sender" }
func (w *transport) RTCPReader() interceptor.RTCPReader      { return nil }
func (w *transport) Write([]byte) (int, error)               { panic("the track must use WriteRTP") }

func (w *transport) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.fail != nil:
		return 0, w.fail
	case w.down:
		return 0, nil
	}
	w.packets = append(w.packets, sent{h.Clone(), slices.Clone(payload), time.Now()})
	return h.MarshalSize() + len(payload), nil
}

func (w *transport) writeRTCP(packets []rtcp.Packet) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, packets...)
	return nil
}

func (w *transport) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// take returns what was written since the last take.
func (w *transport) take() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	packets := w.packets
	w.packets = nil
	return packets
}

func (w *transport) takeReports() []rtcp.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	reports := w.reports
	w.reports = nil
	return reports
}

// newVideo returns a started track bound to a transport.
func newVideo(tb testing.TB) (*Track, *transport) {
	tb.Helper()
	w := &transport{codecs: vp8AndFriends, rtxSSRC: testRTX}
	return newTrack(tb, webrtc.RTPCodecTypeVideo, w), w
}

func newTrack(tb testing.TB, kind webrtc.RTPCodecType, w *transport) *Track {
	tb.Helper()
	t, err := New(Config{Kind: kind, WriteRTCP: w.writeRTCP})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := t.Bind(w); err != nil {
		tb.Fatal(err)
	}
	t.Start()
	tb.Cleanup(func() { t.Switch(nil, nil) })
	return t
}

// publisher writes a stream and remembers what it wrote.
type publisher struct {
	tb     testing.TB
	stream *fanout.Stream
	seq    uint16
	ts     uint32
	pic    uint16 // VP8 picture id
	tl0    uint8
	wishes int
}

func newPublisher(tb testing.TB, codec string, clock uint32) *publisher {
	tb.Helper()
	p := &publisher{tb: tb}
	var err error
	p.stream, err = fanout.NewStream(fanout.StreamConfig{Codec: codec, Clock: clock, KeyframeWish: func() { p.wishes++ }})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.stream.Close)
	return p
}

// vp8 is a payload with picture id, TL0PICIDX and KEYIDX.
func vp8(key, start bool, pic uint16, tl0 uint8, tail string) []byte {
	b := []byte{0x80, 0xf0, 0x80 | byte(pic>>8), byte(pic), tl0, 0x20, 1, 0, 0, 0, 0, 0}
	if start {
		b[0] = 0x90
	}
	if key {
		copy(b[6:], []byte{0, 0, 0, 0x9d, 0x01, 0x2a})
	}
	return append(b, tail...)
}

// packet makes the next packet of the present frame.
func (p *publisher) packet(key, start, marker bool) fanout.Packet {
	packet := fanout.Packet{Seq: p.seq, Timestamp: p.ts, Marker: marker, Payload: vp8(key, start, p.pic, p.tl0, "from the publisher")}
	p.seq++
	return packet
}

// frame writes one frame of n packets and moves on by a thirtieth of a second of media time.
func (p *publisher) frame(key bool, n int) {
	for i := range n {
		p.write(p.packet(key, i == 0, i == n-1))
	}
	p.next()
}

func (p *publisher) next() {
	p.ts += 3000
	p.pic = (p.pic + 1) & 0x7fff
	p.tl0++
}

func (p *publisher) write(packets ...fanout.Packet) { p.stream.WritePackets(packets) }

// nack builds a request for the numbers.
func nack(tb testing.TB, ssrc uint32, seqs ...uint16) []byte {
	tb.Helper()
	b, err := (&rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs)}).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// continuous checks that packets are one RTP stream without a hole, and returns their first and last sequence numbers.
func continuous(tb testing.TB, packets []sent) (first, last uint16) {
	tb.Helper()
	if len(packets) == 0 {
		tb.Fatal("nothing was sent")
	}
	for i, p := range packets {
		if p.SSRC != testSSRC {
			tb.Fatalf("packet %d has SSRC %#x", i, p.SSRC)
		}
		if i > 0 && p.SequenceNumber != packets[i-1].SequenceNumber+1 {
			tb.Fatalf("packet %d has number %d after %d", i, p.SequenceNumber, packets[i-1].SequenceNumber)
		}
		if i > 0 && int32(p.Timestamp-packets[i-1].Timestamp) < 0 {
			tb.Fatalf("packet %d has timestamp %d after %d", i, p.Timestamp, packets[i-1].Timestamp)
		}
	}
	return packets[0].SequenceNumber, packets[len(packets)-1].SequenceNumber
}

func picture(p sent) (pic uint16, tl0, key uint8) {
	return binary.BigEndian.Uint16(p.payload[2:]) & 0x7fff, p.payload[4], p.payload[5] & 0x1f
}
