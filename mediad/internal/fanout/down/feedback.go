package down

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/resend"
	"weever/mediad/internal/udpio"
)

// maxNacks is how many entries of one request are looked at, each of 17 packets: more is not asked for in earnest.
const maxNacks = 64

// resends is what is kept for a viewer that loses packets.
type resends struct {
	guard  resend.Guard
	seq    uint16                  // of the last packet on the retransmission stream
	nack   rtcp.TransportLayerNack // reused
	report rtcp.ReceiverReport     // reused
}

// HandleRTCP takes a compound packet that the viewer sent about this track, as read from its RTPSender. b is borrowed; it may be
// anything. Requests for retransmission are answered before it returns.
func (t *Track) HandleRTCP(b []byte) { t.Feedback(nil, b) }

// Feedback is HandleRTCP for a track with a way out of its own, with answers in out if that is not nil.
func (t *Track) Feedback(out *udpio.Batch, b []byte) {
	t.mu.Lock()
	wish := false
	for len(b) >= 4 {
		var h rtcp.Header
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if h.Unmarshal(b) != nil || size > len(b) {
			break
		}
		switch packet := b[:size]; {
		case h.Type == rtcp.TypeTransportSpecificFeedback && h.Count == rtcp.FormatTLN:
			t.handleNack(out, packet)
		case h.Type == rtcp.TypePayloadSpecificFeedback && (h.Count == rtcp.FormatPLI || h.Count == rtcp.FormatFIR):
			wish = t.wantsKeyframe(packet, h.Count) || wish
		case h.Type == rtcp.TypeReceiverReport:
			t.handleReport(packet)
		}
		b = b[size:]
	}
	want := t.cur
	if want == nil {
		want = t.next
	}
	t.mu.Unlock()
	if wish && want != nil {
		want.stream.RequestKeyframe()
	}
}

// wantsKeyframe reads a PLI (RFC 4585 section 6.3.1) or FIR (RFC 5104 section 4.3.1), whose subject is in its entries.
func (t *Track) wantsKeyframe(packet []byte, format uint8) bool {
	mine := false
	if format == rtcp.FormatPLI {
		mine = len(packet) >= 12 && binary.BigEndian.Uint32(packet[8:]) == t.out.ssrc
	} else {
		for i := 12; i+8 <= len(packet); i += 8 {
			mine = mine || binary.BigEndian.Uint32(packet[i:]) == t.out.ssrc
		}
	}
	if mine {
		t.stats.KeyframeAsked++
	}
	return mine
}

// handleReport notes what a receiver report says of the track.
func (t *Track) handleReport(packet []byte) {
	rr := &t.resend.report
	rr.Reports = rr.Reports[:0]
	err := rr.Unmarshal(packet)
	rr.ProfileExtensions = nil // do not keep the caller's buffer
	if err != nil {
		return
	}
	for _, r := range rr.Reports {
		if r.SSRC != t.out.ssrc {
			continue
		}
		t.stats.Lost, t.stats.FractionLost = r.TotalLost, float64(r.FractionLost)/256
		if t.run.clock > 0 {
			t.stats.Jitter = time.Duration(float64(r.Jitter) / float64(t.run.clock) * float64(time.Second))
		}
		for _, sent := range t.run.reported {
			if r.LastSenderReport != 0 && sent.mid == r.LastSenderReport {
				held := time.Duration(r.Delay) * time.Second >> 16
				t.stats.RTT = max(time.Since(sent.at)-held, time.Microsecond)
			}
		}
	}
}

// handleNack answers requests for packets of the present run from the history (RFC 4585 section 6.2.1).
func (t *Track) handleNack(out *udpio.Batch, packet []byte) {
	n := &t.resend.nack
	n.Nacks = n.Nacks[:0]
	if n.Unmarshal(packet) != nil || n.MediaSSRC != t.out.ssrc {
		return
	}
	now := time.Now()
	t.now = now
	for i := range min(len(n.Nacks), maxNacks) {
		n.Nacks[i].Range(func(seq uint16) bool {
			t.stats.Nacks++
			t.answer(out, seq, now)
			return true
		})
	}
}

// answer sends one packet again, or counts why not.
func (t *Track) answer(out *udpio.Batch, seq16 uint16, now time.Time) {
	seq := t.last.seq + uint64(int64(int16(seq16-uint16(t.last.seq))))
	if t.cur == nil || seq > t.last.seq || seq < t.run.out {
		t.drops.Add(drop.NackUnknown, 1)
		return
	}
	if why, refuse := t.resend.guard.Refuse(seq, now); refuse {
		t.drops.Add(why, 1)
		return
	}
	if size, ok := t.sendAgain(out, seq); ok {
		t.resend.guard.Sent(seq, size, now)
		return
	}
	t.resend.guard.Vain()
	t.drops.Add(drop.NackUnknown, 1)
}

// sendAgain looks the packet up and writes it: on the retransmission stream, with the original number before the payload (RFC 4588
// section 4), or as it was. It reports false if the history has lost it, or
// it is sound that cannot be sent apart: nobody negotiates that.
func (t *Track) sendAgain(out *udpio.Batch, seq uint64) (size int, ok bool) {
	apart := t.resendsApart()
	if !apart && t.cfg.Kind != webrtc.RTPCodecTypeVideo {
		return 0, false
	}
	var p fanout.Packet
	o := &t.out
	buf, ok := t.cur.stream.Lookup(seq-t.run.out+t.run.first, &p, append(o.buf[:0], 0, 0))
	if !ok {
		return 0, false
	}
	o.buf = buf
	if t.run.shift.Moves(p.Desc) {
		t.run.shift.Apply(p.Desc, p.Payload)
	}
	number, ssrc, pt, payload := uint16(seq), o.ssrc, t.run.pt, p.Payload
	if apart {
		t.resend.seq++
		binary.BigEndian.PutUint16(buf, uint16(seq))
		number, ssrc, pt, payload = t.resend.seq, o.rtxSSRC, t.run.rtx, buf
	}
	if n, err := t.write(out, &p, number, ssrc, pt, payload); err != nil || n == 0 {
		t.drops.Add(drop.WriteFailed, 1)
		return len(payload), true
	}
	t.stats.Resent++
	if ssrc == o.rtxSSRC {
		t.stats.ResentRTX++
	}
	t.stats.ResentBytes += uint64(len(payload))
	return len(payload), true
}
