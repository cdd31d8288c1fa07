package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client/link"
	"weever/mediad/internal/client/synth"
)

// Track describes one m-line of a publisher.
type Track struct {
	synth.Config          // codec, traffic model, sizes; of the best layer when there are several
	Rids         []string // simulcast layers, best first; empty: one unnamed layer
	LeastFirst   bool     // Rids are listed the other way round
	Manual       bool     // send only what WriteRTP is given
	IgnorePLI    bool     // as OBS does
}

// SentStats says what was sent of one layer of one track.
type SentStats struct {
	Codec   synth.Codec
	Rid     string
	Stream  uint32 // in the stamps; 0 for a Manual track
	Packets uint64
	Bytes   uint64 // of RTP payloads
	PLIs    uint64 // PLI and FIR received
	NACKs   uint64 // packets that NACKs asked for
	RTCP    uint64 // packets of RTCP received, of any kind
	TWCC    uint64 // those of them that are transport-wide feedback; it comes to one layer for all
}

// outgoing is one m-line that sends. Publisher owns it.
type outgoing struct {
	spec        Track
	transceiver *webrtc.RTPTransceiver
	layers      []*layer
}

// layer is one RTP stream.
type layer struct {
	rid    string
	local  *webrtc.TrackLocalStaticRTP
	source *synth.Source // nil for a Manual track
	level  atomic.Uint32 // audio level in -dBov

	packets, bytes, plis, nacks, rtcp, twcc atomic.Uint64

	extend []extension // fixed once the track is negotiated
}

// extension is a header extension whose value does not change from packet to packet; nil stands for the audio level.
type extension struct {
	id    uint8
	value []byte
}

// newOutgoing adds a track to pc. stream and id make its msid.
func newOutgoing(pc *webrtc.PeerConnection, spec Track, stream, id string) (*outgoing, error) {
	o := &outgoing{spec: spec}
	kind := webrtc.NewRTPCodecType(spec.Codec.Kind())
	for i, rid := range orUnnamed(spec.Rids) {
		l := &layer{rid: rid}
		var options []func(*webrtc.TrackLocalStaticRTP)
		if rid != "" {
			options = append(options, webrtc.WithRTPStreamID(rid))
		}
		var err error
		if l.local, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: string(spec.Codec), ClockRate: spec.Codec.Clock()}, id, stream, options...); err != nil {
			return nil, err
		}
		if !spec.Manual {
			rank := i
			if spec.LeastFirst {
				rank = max(len(spec.Rids)-1-i, 0)
			}
			cfg := spec.Config
			cfg.Packets = max(cmp.Or(cfg.Packets, 6)>>rank, 1) // each layer has half the rate of the one above, and half its size
			cfg.Shrink = rank
			if spec.Codec == synth.Opus {
				cfg.Packets = 1
			}
			if l.source, err = synth.New(cfg); err != nil {
				return nil, err
			}
		}
		if i == 0 {
			o.transceiver, err = pc.AddTransceiverFromTrack(l.local, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		} else {
			err = o.transceiver.Sender().AddEncoding(l.local)
		}
		if err != nil {
			return nil, err
		}
		o.layers = append(o.layers, l)
	}
	codecs, err := only(spec.Codec, o.transceiver.Sender().GetParameters().Codecs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return o, o.transceiver.SetCodecPreferences(codecs)
}

// orUnnamed makes a list of one unnamed layer of an empty one.
func orUnnamed(rids []string) []string {
	if len(rids) == 0 {
		return []string{""}
	}
	return rids
}

// only picks the first entry for a codec, and the retransmission that belongs to it. For H264 that is constrained baseline with
// packetization mode 1, which everybody has.
func only(codec synth.Codec, all []webrtc.RTPCodecParameters) ([]webrtc.RTPCodecParameters, error) {
	for _, c := range all {
		h264 := codec == synth.H264
		if !strings.EqualFold(c.MimeType, string(codec)) ||
			h264 && (!strings.Contains(c.SDPFmtpLine, "packetization-mode=1") || !strings.Contains(c.SDPFmtpLine, "42e01f")) {
			continue
		}
		picked := []webrtc.RTPCodecParameters{c}
		for _, r := range all {
			if r.MimeType == webrtc.MimeTypeRTX && r.SDPFmtpLine == fmt.Sprintf("apt=%d", c.PayloadType) {
				picked = append(picked, r)
			}
		}
		return picked, nil
	}
	return nil, errors.New("codec is not known to this library")
}

// negotiated fixes the header extensions, after the answer.
func (o *outgoing) negotiated() {
	ids := make(map[string]uint8)
	for _, h := range o.transceiver.Sender().GetParameters().HeaderExtensions {
		if h.ID > 0 && h.ID < 15 {
			ids[h.URI] = uint8(h.ID) //nolint:gosec // just checked
		}
	}
	for _, l := range o.layers {
		add := func(uri string, value []byte) {
			if id := ids[uri]; id > 0 {
				l.extend = append(l.extend, extension{id, value})
			}
		}
		if l.rid != "" {
			add(sdp.SDESMidURI, []byte(o.transceiver.Mid()))
			add(sdp.SDESRTPStreamIDURI, []byte(l.rid))
		}
		if o.spec.Codec == synth.Opus {
			add(link.AudioLevelURI, nil)
		}
	}
}

// run sends until ctx ends or the connection is closed.
func (l *layer) run(ctx context.Context) {
	_ = l.source.Run(ctx, l.write) // its error says that the connection is closed
}

// write sends one packet, which is borrowed. Its header gets the extensions of the layer.
func (l *layer) write(p *rtp.Packet) error {
	for _, e := range l.extend {
		value := e.value
		if value == nil {
			value = []byte{0x80 | byte(l.level.Load()&0x7f)} // RFC 6464 section 3: voice, and its level
		}
		if err := p.SetExtension(e.id, value); err != nil {
			return err
		}
	}
	if err := l.local.WriteRTP(p); err != nil {
		return err
	}
	l.packets.Add(1)
	l.bytes.Add(uint64(len(p.Payload)))
	return nil
}

// listen reads the feedback for a layer until the sender is stopped.
func (o *outgoing) listen(l *layer) {
	sender := o.transceiver.Sender()
	for {
		var packets []rtcp.Packet
		var err error
		if l.rid == "" {
			packets, _, err = sender.ReadRTCP()
		} else {
			packets, _, err = sender.ReadSimulcastRTCP(l.rid)
		}
		if err != nil {
			return
		}
		l.rtcp.Add(uint64(len(packets)))
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.TransportLayerCC:
				l.twcc.Add(1)
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				l.plis.Add(1)
				if l.source != nil && !o.spec.IgnorePLI {
					l.source.RequestKey()
				}
			case *rtcp.TransportLayerNack:
				for _, pair := range p.Nacks {
					l.nacks.Add(uint64(len(pair.PacketList())))
				}
			}
		}
	}
}

func (l *layer) stats(codec synth.Codec) SentStats {
	s := SentStats{
		Codec: codec, Rid: l.rid, Packets: l.packets.Load(), Bytes: l.bytes.Load(), PLIs: l.plis.Load(), NACKs: l.nacks.Load(),
		RTCP: l.rtcp.Load(), TWCC: l.twcc.Load(),
	}
	if l.source != nil {
		s.Stream = l.source.Stream()
	}
	return s
}
