package down

import (
	"encoding/binary"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/down/feedback"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/resend"
	"weever/mediad/internal/udpio"
)

// resends is what is kept for a viewer that loses packets.
type resends struct {
	guard  resend.Guard
	seq    uint16 // of the last packet on the retransmission stream
	reader feedback.Reader
}

// HandleRTCP takes a compound packet that the viewer sent about this track, as read from its RTPSender. b is borrowed; it may be
// anything. Requests for retransmission are answered before it returns.
func (t *Track) HandleRTCP(b []byte) { t.Feedback(nil, b) }

// Feedback is HandleRTCP for a track with a way out of its own, with answers in out if that is not nil.
func (t *Track) Feedback(out *udpio.Batch, b []byte) {
	t.mu.Lock()
	wish := false
	for kind, packet := range feedback.Packets(b) {
		switch kind {
		case feedback.Nack:
			t.handleNack(out, packet)
		case feedback.Keyframe:
			if feedback.WantsKeyframe(packet, t.out.ssrc) {
				t.stats.KeyframeAsked++
				wish = true
			}
		case feedback.Report:
			t.resend.reader.Report(packet, t.out.ssrc, t.run.clock, &t.run.reported, &t.stats.Quality)
		}
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

// handleNack answers requests for packets of the present run from the history.
func (t *Track) handleNack(out *udpio.Batch, packet []byte) {
	nacks, more, mine := t.resend.reader.Nacks(packet, t.out.ssrc)
	if !mine {
		return
	}
	t.stats.Nacks += uint64(more) //nolint:gosec // not negative
	t.drops.Add(drop.NackBudget, more)
	now := time.Now()
	t.now = now
	for i := range nacks {
		nacks[i].Range(func(seq uint16) bool {
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
// section 4), or as it was. It reports false if the history has lost it, or it is sound that cannot be sent apart: nobody negotiates that.
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
