package peer

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout/headerext"
	"weever/mediad/internal/fanout/secure"
	"weever/mediad/internal/udpio"
	"weever/shared/eventually"
)

// outlet is what pion is given as the track of a sender, to learn its numbers.
type outlet struct {
	mu  sync.Mutex
	ctx webrtc.TrackLocalContext
}

func (o *outlet) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ctx = ctx
	return ctx.CodecParameters()[0], nil
}
func (*outlet) Unbind(webrtc.TrackLocalContext) error { return nil }
func (*outlet) ID() string                            { return "audio0" }
func (*outlet) RID() string                           { return "" }
func (*outlet) StreamID() string                      { return "alice" }
func (*outlet) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeAudio }

func (o *outlet) bound() webrtc.TrackLocalContext {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ctx
}

// told is a secure.Listener that keeps what it gets.
type told struct{ packets chan []byte }

func (l *told) Feedback(_ *udpio.Batch, b []byte) {
	select {
	case l.packets <- bytes.Clone(b):
	default:
	}
}

// TestWayOut: what is written past pion arrives at a real client, in batches and alone, with padding that the client takes off and with
// transport-wide numbers; and what the client says of it arrives past pion.
func TestWayOut(t *testing.T) {
	client := player(t)
	received := make(chan *rtp.Packet, 100)
	client.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			received <- p
		}
	})
	o := &outlet{}
	ours, _ := join(t, factory(t), client, func(_ *string, c *Conn) {
		if c == nil {
			return
		}
		if _, err := c.Out.WriteRTP(nil, &rtp.Header{Version: 2}, []byte{1}, secure.Extras{}); err != nil {
			t.Errorf("before there are keys: %v", err)
		}
		if _, err := c.AddTrack(o); err != nil {
			t.Fatal(err)
		}
	})
	ctx := o.bound()
	wide := headerext.Of(ctx.HeaderExtensions()).Wide
	if wide == 0 {
		t.Fatal("transport-wide numbers were not negotiated")
	}
	listener := &told{make(chan []byte, 10)}
	ours.Out.Listen(uint32(ctx.SSRC()), listener)
	batch := udpio.NewBatch()
	payload := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 100+i) }
	const packets = 20
	for i := range packets {
		h := &rtp.Header{Version: 2, SequenceNumber: uint16(65530 + i), SSRC: uint32(ctx.SSRC()), PayloadType: 111, Timestamp: uint32(960 * i)}
		out := batch
		if i%5 == 4 {
			batch.Flush()
			out = nil
		}
		if n, err := ours.Out.WriteRTP(out, h, payload(i), secure.Extras{Padding: uint8(i), Wide: wide, At: time.Now()}); err != nil || n == 0 {
			t.Fatalf("packet %d: %d, %v", i, n, err)
		}
	}
	batch.Flush()
	var seqs []uint16
	for i := range packets {
		select {
		case p := <-received:
			seqs = append(seqs, p.SequenceNumber)
			j := int(p.SequenceNumber - 65530)
			if !bytes.Equal(p.Payload, payload(j)) || p.Timestamp != uint32(960*j) {
				t.Errorf("packet %d has other contents: %v", j, p)
			}
			var w rtp.TransportCCExtension
			if err := w.Unmarshal(p.GetExtension(wide)); err != nil || w.TransportSequence != uint16(j) {
				t.Errorf("packet %d has number %d, %v", j, w.TransportSequence, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%d of %d packets came: %v", i, packets, seqs)
		}
	}
	slices.Sort(seqs)
	if seqs = slices.Compact(seqs); len(seqs) != packets {
		t.Errorf("some came twice: %v", seqs)
	}
	for _, p := range []rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: uint32(ctx.SSRC()), Nacks: []rtcp.NackPair{{PacketID: 65530}}},
		&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 5}, {SSRC: uint32(ctx.SSRC())}}},
		&rtcp.ReceiverReport{SSRC: 3, Reports: []rtcp.ReceptionReport{{SSRC: 4}, {SSRC: uint32(ctx.SSRC())}}},
	} {
		want, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := client.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 77}, p}); err != nil {
			t.Fatal(err)
		}
		late := time.After(5 * time.Second)
		for found := false; !found; {
			select {
			case got := <-listener.packets:
				found = bytes.Equal(got, want) // pion's own reports come too
			case <-late:
				t.Fatalf("%T did not come", p)
			}
		}
	}
	ours.Out.Ignore(uint32(ctx.SSRC()))
	eventually.True(t, 5*time.Second, "a report on the transport-wide numbers", func() bool { return ours.Out.Rate().Stats().Reports > 0 })
}
