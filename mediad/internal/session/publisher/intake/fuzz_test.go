package intake

import (
	"encoding/binary"
	"testing"

	"github.com/pion/rtcp"

	"weever/mediad/internal/peer"
	"weever/shared/room"
)

// crowd is what makes an Intake of many sections again and again: sound, simulcast, and two of plain video of which one declares its SSRCs.
func crowd(f *testing.F) func(t *testing.T, play func(in *Intake)) {
	f.Helper()
	n := newNode(f)
	text := offer(section("audio", "0"), section("video", "1", simulcast), section("video", "2", "a=ssrc-group:FID 20 21"), section("video", "3"))
	s := n.publish(f, text)
	s.Close()
	o, err := peer.ParseOffer(room.Pub, text)
	if err != nil {
		f.Fatal(err)
	}
	return func(t *testing.T, play func(in *Intake)) {
		in := New(s.cfg)
		defer in.Wait()
		defer in.Close()
		if err := in.Declare(o.Sections, s.texts[0]); err != nil {
			t.Fatal(err)
		}
		for _, p := range []sent{
			{ssrc: 1, pt: 111, seq: 1, mid: "0"}, {ssrc: 2, pt: 96, seq: 1, mid: "1", rid: "h"}, {ssrc: 3, pt: 97, seq: 1, mid: "1", fix: "h"}, {ssrc: 20, pt: 96, seq: 1},
		} {
			in.RTP(p.raw(t))
		}
		in.Done()
		play(in)
		in.mu.Lock()
		defer in.mu.Unlock()
		if len(in.lanes) > maxLanes || len(in.burst) > 0 || in.target != nil {
			t.Errorf("%d accounts, %d packets are held", len(in.lanes), len(in.burst))
		}
		for ssrc, l := range in.lanes {
			if l.ssrc != ssrc || l.account == nil || l.repeats != nil && l.repeats.repeats != nil {
				t.Errorf("the lane of %d is %+v", ssrc, l)
			}
			if i := l.input; i.recoded > maxRecodings || len(i.layers) > 0 && i.remotes[l.rid] == nil {
				t.Errorf("track %s was recoded %d times, layer %q", i.track.ID, i.recoded, l.rid)
			}
		}
	}
}

// FuzzRTP takes packets, each behind its length in a byte.
func FuzzRTP(f *testing.F) {
	with := crowd(f)
	var all []byte
	for _, p := range []sent{
		{ssrc: 1, pt: 111, seq: 2, wide: 7},
		{ssrc: 4, pt: 96, seq: 1, mid: "1", rid: "l", marker: true},
		{ssrc: 5, pt: 97, seq: 1, mid: "1", fix: "l", osn: 9},
		{ssrc: 21, pt: 97, seq: 1, osn: 2},
		{ssrc: 20, pt: 98, seq: 5},
		{ssrc: 21, pt: 99, seq: 2, osn: 4},
		{ssrc: 6, pt: 96, seq: 1, mid: "3"},
	} {
		b := p.raw(f)
		f.Add(append([]byte{byte(len(b))}, b...))
		all = append(append(all, byte(len(b))), b...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		with(t, func(in *Intake) {
			for len(b) > 0 {
				n := min(int(b[0]), len(b)-1)
				in.RTP(b[1 : 1+n])
				if b = b[1+n:]; n%7 == 0 {
					in.Done()
				}
			}
			in.Done()
		})
	})
}

// FuzzRTCP takes compound packets. A report that pion finds is one that is passed on.
func FuzzRTCP(f *testing.F) {
	with := crowd(f)
	for _, packets := range [][]rtcp.Packet{
		{&rtcp.SenderReport{SSRC: 2, NTPTime: 7 << 32}, &rtcp.SourceDescription{}},
		{&rtcp.ReceiverReport{SSRC: 1}, &rtcp.SenderReport{SSRC: 20, RTPTime: 5, Reports: []rtcp.ReceptionReport{{SSRC: 5}}}},
		{&rtcp.Goodbye{Sources: []uint32{1}}, &rtcp.PictureLossIndication{MediaSSRC: 2}},
	} {
		b, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		with(t, func(in *Intake) {
			in.RTCP(b)
			in.mu.Lock()
			defer in.mu.Unlock()
			if len(b) < 28 || b[0]>>6 != 2 || b[1] != 200 || 4*(int(binary.BigEndian.Uint16(b[2:]))+1) != len(b) {
				return
			}
			var sr rtcp.SenderReport
			l := in.lanes[binary.BigEndian.Uint32(b[4:])]
			if l == nil || l.repeats != nil || sr.Unmarshal(b) != nil {
				return
			}
			if r, ok := l.stream.Report(); !ok || r.NTP-sr.NTPTime > 60<<32 { // it goes on from there
				t.Errorf("%+v was passed on as %+v", sr, r)
			}
		})
	})
}
