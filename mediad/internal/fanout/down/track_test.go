package down

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/drop"
)

var _ webrtc.TrackLocal = (*Track)(nil)

func TestNewWantsAKind(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a track without a kind was made")
	}
}

func TestMsid(t *testing.T) {
	track, _ := newVideo(t)
	track.SetMsid("alice+1", "video0")
	if track.StreamID() != "alice+1" || track.ID() != "video0" || track.RID() != "" || track.Kind() != webrtc.RTPCodecTypeVideo {
		t.Errorf("stream %q, track %q, rid %q, kind %v", track.StreamID(), track.ID(), track.RID(), track.Kind())
	}
}

// TestBindChoosesFormat: by the stream's codec and parameters, and finds what its retransmissions go by.
func TestBindChoosesFormat(t *testing.T) {
	for _, tc := range []struct {
		name, codec, fmtp string
		pt, rtx           uint8 // 0: no format
	}{
		{"VP8", "video/VP8", "", 96, 97},
		{"H264 exactly", "video/H264", "packetization-mode=1;profile-level-id=42e01f", 102, 103},
		{"H264 high", "video/H264", "packetization-mode=1;profile-level-id=640028", 100, 0},
		{"H264 mode 0", "video/H264", "profile-level-id=42e01f", 98, 0},
		{"H264 4:4:4", "video/H264", "packetization-mode=1;profile-level-id=f4001f", 0, 0},
		{"not negotiated", "video/VP9", "", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &transport{codecs: vp8AndFriends, rtxSSRC: testRTX}
			track, err := New(Config{Kind: webrtc.RTPCodecTypeVideo})
			if err != nil {
				t.Fatal(err)
			}
			if track.Accepts(tc.codec, tc.fmtp) {
				t.Error("accepts before Bind")
			}
			stream, err := fanout.NewStream(fanout.StreamConfig{Codec: tc.codec, Fmtp: tc.fmtp, Clock: 90000})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			track.Switch(stream, nil)
			defer track.Switch(nil, nil)
			chosen, err := track.Bind(w)
			if err != nil {
				t.Fatal(err)
			}
			track.Start()
			if want := max(tc.pt, 96); tc.pt != 0 && chosen.PayloadType != webrtc.PayloadType(want) {
				t.Errorf("Bind chose %d, want %d", chosen.PayloadType, want)
			}
			if got := track.Accepts(tc.codec, tc.fmtp); got != (tc.pt != 0) {
				t.Errorf("Accepts = %v", got)
			}
			key := []byte{0x65, 0xb8, 0, 0, 0, 0, 0, 0}
			if tc.codec == "video/VP8" {
				key = vp8(true, true, 1, 1, "")
			}
			stream.WritePackets([]fanout.Packet{{Seq: 1, Payload: key}})
			packets := w.take()
			if tc.pt == 0 {
				if len(packets) != 0 || track.Stats().Drops[drop.NoFormat] != 1 {
					t.Errorf("%d packets sent, drops %v", len(packets), track.Stats().Drops)
				}
				return
			}
			if len(packets) != 1 || packets[0].PayloadType != tc.pt {
				t.Fatalf("sent %+v, want payload type %d", packets, tc.pt)
			}
			track.HandleRTCP(nack(t, testSSRC, packets[0].SequenceNumber))
			again := w.take()
			want := tc.rtx
			if want == 0 {
				want = tc.pt
			}
			if len(again) != 1 || again[0].PayloadType != want {
				t.Errorf("sent again %+v, want payload type %d", again, want)
			}
		})
	}
}

func TestBindAndUnbind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, err := New(Config{Kind: webrtc.RTPCodecTypeVideo})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := track.Bind(&transport{}); !errors.Is(err, webrtc.ErrUnsupportedCodec) {
			t.Errorf("Bind without codecs: %v", err)
		}
		w := &transport{codecs: vp8AndFriends}
		if err := track.Unbind(w); !errors.Is(err, webrtc.ErrUnbindFailed) {
			t.Errorf("Unbind before Bind: %v", err)
		}
		p := newPublisher(t, "video/VP8", 90000)
		track.Start()
		track.Switch(p.stream, nil)
		if n := p.stream.Stats().Sinks; n != 0 {
			t.Error("attached before Bind")
		}
		if chosen, err := track.Bind(w); err != nil || chosen.PayloadType != 96 {
			t.Errorf("Bind: %v, %v", chosen.PayloadType, err)
		}
		p.frame(true, 2)
		if err := track.Unbind(w); err != nil {
			t.Error(err)
		}
		p.frame(true, 2)
		if n := p.stream.Stats().Sinks; n != 0 {
			t.Error("attached after Unbind")
		}
		packets := w.take()
		if len(packets) != 2 {
			t.Errorf("%d packets, want those while bound", len(packets))
		}
		if _, err := track.Bind(w); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		p.frame(false, 2)
		packets = append(packets, w.take()...)
		if len(packets) != 6 {
			t.Fatalf("%d packets, want those while bound and the cached key frame", len(packets))
		}
		continuous(t, packets)
		track.Switch(nil, nil)
		p.stream.Close()
	})
}

// TestFirstRun: what comes first goes out as it came, but for its number.
func TestFirstRun(t *testing.T) {
	track, w := newVideo(t)
	p := newPublisher(t, "video/VP8", 90000)
	p.seq, p.ts, p.pic = 65534, 1<<32-3000, 0x7fff
	track.Switch(p.stream, nil)
	if p.wishes != 1 {
		t.Errorf("%d key frames were asked for, want 1", p.wishes)
	}
	p.frame(false, 2)
	p.frame(true, 3)
	p.frame(false, 2)
	packets := w.take()
	if len(packets) != 5 {
		t.Fatalf("%d packets, want 5", len(packets))
	}
	first, _ := continuous(t, packets)
	if first >= 1<<15 {
		t.Errorf("the first number is %d, too near the wrap", first)
	}
	for i, want := range []struct {
		ts     uint32
		marker bool
		pic    uint16
	}{{0, false, 0}, {0, false, 0}, {0, true, 0}, {3000, false, 1}, {3000, true, 1}} {
		pic, _, _ := picture(packets[i])
		if got := packets[i]; got.Timestamp != want.ts || got.Marker != want.marker || pic != want.pic || got.PayloadType != 96 || got.Version != 2 {
			t.Errorf("packet %d: %+v with picture %d, want %+v", i, got.Header, pic, want)
		}
	}
	st := track.Stats()
	if st.Packets != 5 || st.Bytes != uint64(5*len(packets[0].payload)) || st.Drops[drop.Waiting] != 2 || st.Waiting {
		t.Errorf("stats %+v", st)
	}
}

// TestRelease: whatever happens to a stream that was set, its release is called once, when the track is done with it.
func TestRelease(t *testing.T) {
	counter := func(n *int) func() { return func() { *n++ } }
	a, b := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
	track, _ := newVideo(t)
	var ra, ra2, rb int
	check := func(when string, wantA, wantA2, wantB int) {
		t.Helper()
		if ra != wantA || ra2 != wantA2 || rb != wantB {
			t.Errorf("%s: released %d, %d, %d times, want %d, %d, %d", when, ra, ra2, rb, wantA, wantA2, wantB)
		}
	}
	track.Switch(a.stream, counter(&ra))
	track.Switch(b.stream, counter(&rb))
	check("the first never began", 1, 0, 0)
	track.Switch(nil, nil)
	check("nothing", 1, 0, 1)
	ra, rb = 0, 0
	track.Switch(a.stream, counter(&ra))
	a.frame(true, 1)
	track.Switch(b.stream, counter(&rb))
	check("the second has not begun", 0, 0, 0)
	track.Switch(a.stream, counter(&ra2))
	check("back again", 0, 1, 1)
	track.Switch(a.stream, nil)
	track.Switch(b.stream, counter(&rb))
	track.Pause(true)
	check("paused while the second was waited for", 1, 1, 1)
	track.Pause(false)
	b.frame(true, 1)
	check("resumed", 1, 1, 1)
	track.Switch(nil, nil)
	check("the end", 1, 1, 2)
	if n := a.stream.Stats().Sinks + b.stream.Stats().Sinks; n != 0 {
		t.Errorf("%d sinks left", n)
	}
}

func TestPause(t *testing.T) {
	track, w := newVideo(t)
	p := newPublisher(t, "video/VP8", 90000)
	track.Switch(p.stream, nil)
	p.frame(true, 1)
	track.Pause(true)
	track.Pause(true)
	p.frame(true, 1)
	if n := p.stream.Stats().Sinks; n != 0 {
		t.Errorf("%d sinks while paused", n)
	}
	if track.Stats().Waiting {
		t.Error("it waits while it is to be silent")
	}
	p.seq++ // a hole: no replay
	p.frame(false, 1)
	track.Pause(false)
	p.frame(false, 1)
	if !track.Stats().Waiting {
		t.Error("it does not wait for a key frame")
	}
	p.frame(true, 1)
	packets := w.take()
	if len(packets) != 2 {
		t.Fatalf("%d packets, want the key frames before and after", len(packets))
	}
	continuous(t, packets)
	if pic, _, _ := picture(packets[1]); pic != 1 {
		t.Errorf("picture %d after 0: it must go on by one, whatever was left out", pic)
	}
}

// TestTransportComesUpLate: what pion swallows is not lost. The track tries again until the key frame is taken.
func TestTransportComesUpLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, w := newVideo(t)
		w.setDown(true)
		p := newPublisher(t, "video/VP8", 90000)
		p.frame(true, 3)
		p.frame(false, 2)
		track.Switch(p.stream, nil)
		<-time.After(100 * time.Millisecond)
		p.frame(false, 2)
		w.setDown(false)
		<-time.After(100 * time.Millisecond)
		p.frame(false, 1)
		packets := w.take()
		if len(packets) != 8 {
			t.Fatalf("%d packets, want all 8", len(packets))
		}
		continuous(t, packets)
		st := track.Stats()
		if st.Drops[drop.NotConnected] < 3 || st.Packets != 8 || st.Waiting {
			t.Errorf("stats %+v", st)
		}
		track.Switch(nil, nil)
		p.stream.Close()
	})
}

func TestWriteErrorsAreCounted(t *testing.T) {
	track, w := newVideo(t)
	w.fail = io.ErrClosedPipe
	p := newPublisher(t, "video/VP8", 90000)
	track.Switch(p.stream, nil)
	p.frame(true, 2)
	if st := track.Stats(); st.Drops[drop.WriteFailed] != 2 || st.Packets != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestSenderReports map the publisher's clock to the output's, at the start of a run and with each report.
func TestSenderReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, w := newVideo(t)
		a, b := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
		b.ts = 1 << 20
		track.Switch(a.stream, nil)
		a.stream.WriteReport(fanout.SenderReport{NTP: 1, RTP: 1})
		a.frame(true, 1)
		b.stream.WriteReport(fanout.SenderReport{NTP: 9 << 32, RTP: b.ts})
		<-time.After(time.Second)
		w.takeReports()
		track.Switch(b.stream, nil)
		b.ts += 90000
		b.frame(true, 2)
		first, out := w.takeReports(), w.take()
		begun := out[len(out)-1]
		if len(first) != 1 {
			t.Fatalf("%d reports at the start, want 1", len(first))
		}
		if r, ok := first[0].(*rtcp.SenderReport); !ok || r.SSRC != testSSRC || r.NTPTime != 10<<32 || r.RTPTime != begun.Timestamp || r.PacketCount == 0 || r.OctetCount == 0 {
			t.Errorf("first report %+v, want the moment of %+v", first[0], begun.Header)
		}
		b.stream.WriteReport(fanout.SenderReport{NTP: 11 << 32, RTP: b.ts})
		a.stream.WriteReport(fanout.SenderReport{NTP: 1, RTP: 1}) // of the stream that was left
		next := w.takeReports()
		if len(next) != 1 {
			t.Fatalf("%d reports, want 1", len(next))
		}
		if r, ok := next[0].(*rtcp.SenderReport); !ok || r.NTPTime != 11<<32 || r.RTPTime != begun.Timestamp+3000 || r.PacketCount != 3 {
			t.Errorf("report %+v", next[0])
		}
		track.Switch(nil, nil)
		a.stream.Close()
		b.stream.Close()
	})
}
