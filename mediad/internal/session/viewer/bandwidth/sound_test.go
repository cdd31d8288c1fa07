package bandwidth

import (
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/session/viewer/outlet"
)

// sound is an outgoing track that sends what is written to its stream.
type sound struct {
	stream *fanout.Stream
	track  *down.Track
	seq    uint16
}

func newSound(t *testing.T, outlets *outlet.Outlets) *sound {
	t.Helper()
	stream, err := fanout.NewStream(fanout.StreamConfig{Codec: "audio/opus", Clock: 48000})
	if err != nil {
		t.Fatal(err)
	}
	d, err := outlets.Open(webrtc.RTPCodecTypeAudio)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Bind(transport{}); err != nil {
		t.Fatal(err)
	}
	d.Start()
	d.Switch(stream, nil)
	return &sound{stream: stream, track: d}
}

// write sends n packets of so many bytes.
func (s *sound) write(n, size int) {
	for range n {
		s.seq++
		s.stream.WritePackets([]fanout.Packet{{Seq: s.seq, Timestamp: uint32(s.seq) * 960, Payload: make([]byte, size)}})
	}
}

// transport stands in for pion: it has negotiated sound without numbers, and takes what is written.
type transport struct{}

func (transport) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/opus", ClockRate: 48000, Channels: 2}, PayloadType: 111},
	}
}
func (transport) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (transport) SSRC() webrtc.SSRC                                      { return 1 }
func (transport) SSRCRetransmission() webrtc.SSRC                        { return 0 }
func (transport) SSRCForwardErrorCorrection() webrtc.SSRC                { return 0 }
func (transport) WriteStream() webrtc.TrackLocalWriter                   { return transport{} }
func (transport) ID() string                                             { return "sender" }
func (transport) RTCPReader() interceptor.RTCPReader                     { return nil }
func (transport) Write(b []byte) (int, error)                            { return len(b), nil }
func (transport) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	return h.MarshalSize() + len(payload), nil
}
