package down

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/headerext"
	"weever/mediad/internal/fanout/resend"
)

// TestResend: with and without a retransmission stream, over the wrap of the numbers, for a first and for a renumbered stream.
func TestResend(t *testing.T) {
	for _, rtx := range []webrtc.SSRC{0, testRTX} {
		for _, renumbered := range []bool{false, true} {
			t.Run(fmt.Sprintf("rtx %#x renumbered %v", rtx, renumbered), func(t *testing.T) {
				w := &transport{codecs: vp8AndFriends, rtxSSRC: rtx}
				track := newTrack(t, webrtc.RTPCodecTypeVideo, w)
				if renumbered {
					before := newPublisher(t, "video/VP8", 90000)
					before.pic = 1000
					track.Switch(before.stream, nil)
					before.frame(true, 3)
				}
				p := newPublisher(t, "video/VP8", 90000)
				p.seq = 65000
				track.Switch(p.stream, nil)
				p.frame(true, 1)
				for range 600 {
					p.frame(false, 2)
				}
				packets := w.take()
				for n, i := range []int{len(packets) - 1, len(packets) - 200, len(packets) - 100} {
					lost := packets[i]
					track.HandleRTCP(nack(t, testSSRC, lost.SequenceNumber))
					again := w.take()
					if len(again) != 1 {
						t.Fatalf("packet %d: %d packets came", i, len(again))
					}
					got := again[0]
					payload := lost.payload
					number, ssrc, pt := lost.SequenceNumber, uint32(testSSRC), uint8(96)
					if rtx != 0 { // RFC 4588 section 4
						payload = append(binary.BigEndian.AppendUint16(nil, lost.SequenceNumber), payload...)
						number, ssrc, pt = got.SequenceNumber, testRTX, 97
						if n > 0 && number != track.resend.seq {
							t.Errorf("retransmission stream has number %d, want %d", number, track.resend.seq)
						}
					}
					if got.SequenceNumber != number || got.SSRC != ssrc || got.PayloadType != pt || got.Timestamp != lost.Timestamp || got.Marker != lost.Marker || got.Padding {
						t.Errorf("packet %d came as %+v, was %+v", i, got.Header, lost.Header)
					}
					if !bytes.Equal(got.payload, payload) {
						t.Errorf("packet %d came with payload %x, was %x", i, got.payload, lost.payload)
					}
				}
				onRTX := map[bool]uint64{true: 3}[rtx != 0]
				if st := track.Stats(); st.Resent != 3 || st.ResentRTX != onRTX || st.Nacks != 3 || st.Packets != uint64(len(packets)) {
					t.Errorf("stats %+v", st)
				}
			})
		}
	}
}

// TestResendOverTheWrap sends so much that the output's numbers wrap twice.
func TestResendOverTheWrap(t *testing.T) {
	track, w := newVideo(t)
	p := newPublisher(t, "video/VP8", 90000)
	track.Switch(p.stream, nil)
	p.frame(true, 1)
	var recent []sent
	wraps := 0
	for wraps < 2 || len(recent) < 50 {
		p.frame(false, 1)
		got := w.take()[0]
		if n := len(recent); n > 0 && got.SequenceNumber < recent[n-1].SequenceNumber {
			wraps++
			recent = recent[n-min(n, 20):]
		}
		recent = append(recent, got)
	}
	for _, lost := range recent {
		track.HandleRTCP(nack(t, testSSRC, lost.SequenceNumber))
		again := w.take()
		if len(again) != 1 || binary.BigEndian.Uint16(again[0].payload) != lost.SequenceNumber || !bytes.Equal(again[0].payload[2:], lost.payload) {
			t.Fatalf("asked for %d, got %+v", lost.SequenceNumber, again)
		}
	}
}

// TestResendIsRefused counts why.
func TestResendIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, w := newVideo(t)
		a, b := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
		track.HandleRTCP(nack(t, testSSRC, 1))
		track.Switch(a.stream, nil)
		a.frame(true, 3)
		ofA := w.take()
		track.Switch(b.stream, nil)
		b.frame(true, 3)
		ofB := w.take()
		seq := ofB[1].SequenceNumber
		for _, step := range []struct {
			name   string
			ssrc   uint32
			seq    uint16
			wait   time.Duration
			reason drop.Reason
			comes  bool
		}{
			{"of the stream before", testSSRC, ofA[1].SequenceNumber, 0, drop.NackUnknown, false},
			{"not sent yet", testSSRC, ofB[2].SequenceNumber + 1, 0, drop.NackUnknown, false},
			{"half a turn away", testSSRC, seq + 1<<15, 0, drop.NackUnknown, false},
			{"of another SSRC", testSSRC + 1, seq, 0, 0, false},
			{"as it should be", testSSRC, seq, 0, 0, true},
			{"too soon again", testSSRC, seq, 49 * time.Millisecond, drop.NackRepeat, false},
			{"again", testSSRC, seq, time.Millisecond, 0, true},
		} {
			<-time.After(step.wait)
			before := track.Stats().Drops
			track.HandleRTCP(nack(t, step.ssrc, step.seq))
			after := track.Stats().Drops
			if got := len(w.take()); got == 1 != step.comes {
				t.Errorf("%s: %d packets came", step.name, got)
			}
			if !step.comes && step.ssrc == testSSRC && after[step.reason] != before[step.reason]+1 {
				t.Errorf("%s: drops %v", step.name, after)
			}
		}
		track.Switch(nil, nil)
		a.stream.Close()
		b.stream.Close()
	})
}

// TestResendEnds: a receiver that asks for ever, as some do for what came on the retransmission stream, gets five.
func TestResendEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, w := newVideo(t)
		p := newPublisher(t, "video/VP8", 90000)
		track.Switch(p.stream, nil)
		p.frame(true, 2)
		seq := w.take()[0].SequenceNumber
		for range 20 {
			track.HandleRTCP(nack(t, testSSRC, seq))
			<-time.After(resend.Again)
		}
		if n := len(w.take()); n != resend.Times {
			t.Errorf("%d answers, want %d", n, resend.Times)
		}
		track.HandleRTCP(nack(t, testSSRC, seq+1))
		if n := len(w.take()); n != 1 {
			t.Errorf("%d answers for the next packet", n)
		}
		track.Switch(nil, nil)
		p.stream.Close()
	})
}

// TestNackStorm: however often a viewer asks, what it gets is bounded by what it was sent.
func TestNackStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, w := newVideo(t)
		p := newPublisher(t, "video/VP8", 90000)
		track.Switch(p.stream, nil)
		p.write(fanout.Packet{Payload: vp8(true, true, 0, 0, string(make([]byte, 1000)))})
		bytesSent := 0
		for i := range uint16(1000) {
			p.write(fanout.Packet{Seq: 1 + i, Timestamp: uint32(i), Payload: vp8(false, true, 0, 0, string(make([]byte, 1000)))})
		}
		sentAll := w.take()
		for _, s := range sentAll {
			bytesSent += len(s.payload)
		}
		last := sentAll[len(sentAll)-1].SequenceNumber
		again := 0
		for range 200 {
			<-time.After(resend.Again)
			var seqs []uint16
			for i := range uint16(500) {
				seqs = append(seqs, last-500+i)
			}
			track.HandleRTCP(nack(t, testSSRC, seqs...))
			for _, s := range w.take() {
				again += len(s.payload)
			}
		}
		if limit := resend.Ceiling; again > limit+2000 || again < limit/2 {
			t.Errorf("%d bytes sent again after %d sent, want at most %d", again, bytesSent, limit)
		}
		if n := track.Stats().Drops[drop.NackBudget]; n == 0 {
			t.Error("the budget never refused")
		}
		track.Switch(nil, nil)
		p.stream.Close()
	})
}

func TestKeyframeRequests(t *testing.T) {
	marshal := func(p rtcp.Packet) []byte {
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name   string
		packet []byte
		want   int
	}{
		{"PLI", marshal(&rtcp.PictureLossIndication{MediaSSRC: testSSRC}), 1},
		{"PLI for another", marshal(&rtcp.PictureLossIndication{MediaSSRC: 9}), 0},
		{"FIR", marshal(&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 9}, {SSRC: testSSRC}}}), 1},
		{"FIR for another", marshal(&rtcp.FullIntraRequest{MediaSSRC: testSSRC, FIR: []rtcp.FIREntry{{SSRC: 9}}}), 0},
		{"behind something unknown", append([]byte{0x80, 199, 0, 1, 1, 2, 3, 4}, marshal(&rtcp.PictureLossIndication{MediaSSRC: testSSRC})...), 1},
		{"behind something cut short", append([]byte{0x80, 199, 0, 9, 1, 2, 3, 4}, marshal(&rtcp.PictureLossIndication{MediaSSRC: testSSRC})...), 0},
		{"cut short", marshal(&rtcp.PictureLossIndication{MediaSSRC: testSSRC})[:8], 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				track, _ := newVideo(t)
				p := newPublisher(t, "video/VP8", 90000)
				track.HandleRTCP(tc.packet) // nothing to ask yet
				p.frame(true, 1)
				track.Switch(p.stream, nil)
				synctest.Wait()
				track.HandleRTCP(tc.packet)
				if p.wishes != tc.want {
					t.Errorf("%d key frames asked for, want %d", p.wishes, tc.want)
				}
				if n := track.Stats().KeyframeAsked; n != uint64(2*tc.want) {
					t.Errorf("counted %d", n)
				}
				track.Switch(nil, nil)
				p.stream.Close()
			})
		})
	}
}

// TestReceiverReport gives loss, jitter and, from the report that it echoes, the round-trip time.
func TestReceiverReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, _ := newVideo(t)
		p := newPublisher(t, "video/VP8", 90000)
		track.Switch(p.stream, nil)
		p.frame(true, 1)
		p.stream.WriteReport(fanout.SenderReport{NTP: 0x1122334455667788})
		<-time.After(130 * time.Millisecond)
		report := &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{
			{SSRC: 9, FractionLost: 255},
			{SSRC: testSSRC, FractionLost: 64, TotalLost: 12, Jitter: 900, LastSenderReport: 0x33445566, Delay: 65536 / 10},
		}}
		b, err := report.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		track.HandleRTCP(b)
		st := track.Stats()
		if st.Lost != 12 || st.FractionLost != 0.25 || st.Jitter != 10*time.Millisecond {
			t.Errorf("stats %+v", st)
		}
		if st.RTT < 29*time.Millisecond || st.RTT > 31*time.Millisecond {
			t.Errorf("round trip %v, want 30 ms", st.RTT)
		}
		track.Switch(nil, nil)
		p.stream.Close()
	})
}

// FuzzHandleRTCP: a viewer may send anything.
func FuzzHandleRTCP(f *testing.F) {
	f.Add(nack(f, testSSRC, 1, 2, 3, 400))
	for _, p := range []rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: testSSRC},
		&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: testSSRC}}},
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: testSSRC, LastSenderReport: 1}}},
	} {
		b, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
	}
	track, w := newVideo(f)
	p := newPublisher(f, "video/VP8", 90000)
	track.Switch(p.stream, nil)
	p.frame(true, 200)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		track.HandleRTCP(b)
		if !bytes.Equal(before, b) {
			t.Fatal("the caller's buffer was changed")
		}
		w.take()
	})
}

// null is a transport that takes everything and keeps nothing.
type null struct{ transport }

func (n *null) WriteStream() webrtc.TrackLocalWriter { return n }
func (n *null) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	return 12 + len(payload), nil
}

// fanOut returns a function that writes one packet to so many tracks, which go on with their second stream if renumber is set.
func fanOut(tb testing.TB, tracks int, renumber bool) (write func()) {
	tb.Helper()
	before, p := newPublisher(tb, "video/VP8", 90000), newPublisher(tb, "video/VP8", 90000)
	before.pic = 77
	var all []*Track
	for range tracks {
		track, err := New(Config{Kind: webrtc.RTPCodecTypeVideo})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := track.Bind(&null{transport{codecs: vp8AndFriends, rtxSSRC: testRTX}}); err != nil {
			tb.Fatal(err)
		}
		track.Start()
		if renumber {
			track.Switch(before.stream, nil)
		}
		tb.Cleanup(func() { track.Switch(nil, nil) })
		all = append(all, track)
	}
	before.frame(true, 1)
	for _, track := range all {
		track.Switch(p.stream, nil)
	}
	b, err := (&rtp.Packet{
		Header:  rtp.Header{Version: 2},
		Payload: vp8(true, true, 0, 0, string(make([]byte, 1100))),
	}).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	seq := uint32(0)
	var header rtp.Header
	var one [1]fanout.Packet
	return func() {
		seq++
		binary.BigEndian.PutUint16(b[2:], uint16(seq))
		binary.BigEndian.PutUint32(b[4:], seq*500)
		if one[0], err = fanout.Parse(&header, b, headerext.IDs{}); err != nil {
			tb.Fatal(err)
		}
		p.stream.WritePackets(one[:])
	}
}

func TestFanOutDoesNotAllocate(t *testing.T) {
	for _, renumber := range []bool{false, true} {
		write := fanOut(t, 5, renumber)
		for range 3000 {
			write()
		}
		if n := testing.AllocsPerRun(1000, write); n != 0 {
			t.Errorf("renumbered %v: %v allocations per packet", renumber, n)
		}
	}
}

// BenchmarkFanOut is one packet to 50 viewers, without what pion does with it.
func BenchmarkFanOut(b *testing.B) {
	for _, renumber := range []bool{false, true} {
		b.Run(fmt.Sprintf("renumbered %v", renumber), func(b *testing.B) {
			write := fanOut(b, 50, renumber)
			b.ReportAllocs()
			for b.Loop() {
				write()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/viewer")
		})
	}
}
