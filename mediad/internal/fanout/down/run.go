package down

import (
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/codec"
	"weever/mediad/internal/fanout/down/feedback"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/secure"
	"weever/mediad/internal/fanout/timeline"
	"weever/mediad/internal/udpio"
)

// maxGap is the most packets by which a stream may jump and still be one run. Receivers take a larger hole for a new sender anyway
// (RFC 3550 appendix A.1 has 3000), and nobody would ask for what was in it.
const maxGap = 1000

// run is a stretch of one stream during which output follows input by constant offsets. It begins when the track turns to a stream,
// or when the stream jumps. Retransmissions reach back to its beginning.
type run struct {
	clock    uint32
	pt, rtx  uint8
	first    uint64 // index of its first packet
	out      uint64 // sequence number of that, counted on without wrapping
	newest   uint64 // highest index sent
	time     timeline.Map
	shift    codec.Shift
	reported feedback.Sent
}

// last is where the output stands, across runs.
type last struct {
	seq     uint64    // highest sequence number sent, counted on without wrapping; 0: none
	ts      uint32    // its timestamp
	at      time.Time // when
	numbers codec.Numbers
}

// jumps reports whether p is too far from the run to belong to it.
func (r *run) jumps(p *fanout.Packet) bool {
	return p.Index > r.newest+maxGap || p.Index+maxGap < r.newest
}

// follow returns the run that begins with p: sequence numbers go on by one, timestamps by the time that has passed: sound at least by
// a packet, for it must not overlap, pictures at least by a millisecond. More would make the output's clock run ahead with each switch.
func (t *Track) follow(s *source, p *fanout.Packet) run {
	r := run{clock: s.stream.Clock(), pt: uint8(s.format.Params.PayloadType), rtx: s.format.RTX, first: p.Index, newest: p.Index}
	begin := p.Timestamp
	if t.last.seq == 0 {
		// Far from the wrap, which a receiver that misses the first packets would not notice (RFC 3711 section 3.3.1).
		r.out = 1<<16 + uint64(rand.Uint32()&0x3fff)
	} else {
		r.out = t.last.seq + 1
		least := r.clock / 1000
		if !s.stream.Video() {
			least = r.clock / 50
		}
		begin = timeline.Later(t.last.ts, p.At.Sub(t.last.at), r.clock, least)
		r.shift = codec.ShiftAfter(t.last.numbers, p.Desc.Numbers(p.Payload))
	}
	r.time = timeline.Begin(p.Timestamp, begin, p.Speed, p.Pivot)
	return r
}

// send writes one packet of the present run. It reports false if the transport is not up and the packet was not taken; the caller
// holds mu.
func (t *Track) send(out *udpio.Batch, p *fanout.Packet) bool {
	r := &t.run
	if p.Index < r.first {
		t.drops.Add(drop.Reordered, 1)
		return true
	}
	seq := r.out + (p.Index - r.first)
	payload := t.payload(p)
	n, err := t.write(out, p, uint16(seq), t.out.ssrc, r.pt, payload)
	switch {
	case err != nil:
		t.drops.Add(drop.WriteFailed, 1)
	case n == 0: // pion's way of saying that SRTP has no keys yet
		t.drops.Add(drop.NotConnected, 1)
		return false
	default:
		t.stats.Packets++
		t.stats.Bytes += uint64(len(payload))
		t.resend.guard.Earn(len(payload))
	}
	r.newest = max(r.newest, p.Index)
	if seq > t.last.seq {
		t.last = last{seq: seq, ts: t.out.header.Timestamp, at: p.At, numbers: t.last.numbers}
		if n := p.Desc.Numbers(payload); n.Has {
			t.last.numbers = n
		}
	}
	return true
}

// payload returns what is to be sent of p: its own bytes if they can stay as they are, else a renumbered copy, valid until the next call.
func (t *Track) payload(p *fanout.Packet) []byte {
	if !t.run.shift.Moves(p.Desc) {
		return p.Payload
	}
	o := &t.out
	o.buf = append(o.buf[:0], p.Payload...)
	t.run.shift.Apply(p.Desc, o.buf)
	return o.buf
}

// write hands one packet to the transport, in out if that is not nil.
func (t *Track) write(out *udpio.Batch, p *fanout.Packet, seq uint16, ssrc uint32, pt uint8, payload []byte) (int, error) {
	o := &t.out
	if o.writer == nil {
		return 0, nil
	}
	h := &o.header
	h.Version, h.Marker, h.PayloadType, h.SequenceNumber, h.SSRC = 2, p.Marker, pt, seq, ssrc
	h.Timestamp = t.run.time.Out(p.Index, p.Timestamp)
	h.Extension, h.ExtensionProfile, h.Extensions = false, 0, h.Extensions[:0] // interceptors add theirs
	if p.HasLevel && o.ids.Level != 0 {
		o.ext[0] = p.Level
		_ = h.SetExtension(o.ids.Level, o.ext[:1])
	}
	if p.HasOrientation && o.ids.Orientation != 0 {
		o.ext[1] = p.Orientation
		_ = h.SetExtension(o.ids.Orientation, o.ext[1:])
	}
	if t.cfg.Out != nil {
		return t.cfg.Out.WriteRTP(out, h, payload, t.extras(p))
	}
	return o.writer.WriteRTP(h, payload)
}

// extras is what p gets that is not of the publisher. Where a retransmission has no stream of its own, a video packet gets nothing: it would be
// sent again under the same number, and what SRTP encrypts twice under one number must be the same to the last bit (RFC 7714 section 8.1).
// Sound is never sent again there.
func (t *Track) extras(p *fanout.Packet) (e secure.Extras) {
	if t.cfg.Kind == webrtc.RTPCodecTypeVideo && !t.resendsApart() {
		return e
	}
	e.Padding = p.Pad
	if t.measured {
		e.Wide, e.At = t.out.ids.Wide, t.now
	}
	return e
}

// resendsApart reports whether retransmissions have a stream of their own (RFC 4588).
func (t *Track) resendsApart() bool { return t.out.rtxSSRC != 0 && t.run.rtx != 0 }

// reportNow makes the first sender report of a run, so that sound and picture are together from the start.
func (t *Track) reportNow(out *udpio.Batch, s *source) (send func()) {
	r, ok := s.stream.Report()
	if !ok {
		return nil
	}
	return t.reportFor(out, s, r)
}

// reportFor makes a sender report of the output out of one of the input (RFC 3550 section 6.4.1): the publisher's wall clock stays, so
// that tracks of one publisher stay in step. The caller holds mu and calls what is returned, if anything, without it.
func (t *Track) reportFor(out *udpio.Batch, s *source, r fanout.SenderReport) (send func()) {
	if s != t.cur || t.cfg.WriteRTCP == nil && t.cfg.Out == nil || !t.bound {
		return nil
	}
	t.run.reported.Note(r.NTP)
	report := &rtcp.SenderReport{
		SSRC: t.out.ssrc, NTPTime: r.NTP, RTPTime: t.run.time.Live(r.RTP),
		PacketCount: uint32(t.stats.Packets), OctetCount: uint32(t.stats.Bytes),
	}
	if t.cfg.Out != nil {
		_ = t.cfg.Out.WriteReport(out, report) // as with packets: the next one tells the same
		return nil
	}
	return func() { _ = t.cfg.WriteRTCP([]rtcp.Packet{report}) } // the transport is going away: pion tells the session
}
