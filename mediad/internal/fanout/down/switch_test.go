package down

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/drop"
)

// TestSwitch: two streams look like one. The first goes on until the second has a key frame, even in the middle of a frame.
func TestSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, w := newVideo(t)
		a, b := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
		a.seq, a.ts, a.pic, a.tl0 = 100, 5000, 200, 255
		b.seq, b.ts, b.pic, b.tl0 = 60000, 1<<31, 9, 9
		released := 0
		track.Switch(a.stream, func() { released++ })
		a.frame(true, 2)
		releasedNew := 0
		track.Switch(b.stream, func() { releasedNew++ })
		if b.wishes != 1 {
			t.Errorf("%d key frames asked of the new stream, want 1", b.wishes)
		}
		a.frame(false, 1)
		b.frame(false, 1)
		if released != 0 {
			t.Error("the old stream was released before the new one began")
		}
		half := a.packet(false, true, false) // the switch falls into this frame
		a.write(half)
		<-time.After(40 * time.Millisecond)
		source := vp8(true, true, 10, 10, "untouched")
		b.write(fanout.Packet{Seq: b.seq, Timestamp: b.ts, Payload: source})
		b.seq++
		a.write(a.packet(false, false, true))
		b.next()
		b.frame(false, 2)
		if released != 1 || releasedNew != 0 {
			t.Errorf("the old stream was released %d times, the new one %d times", released, releasedNew)
		}
		packets := w.take()
		if len(packets) != 7 {
			t.Fatalf("%d packets, want 7", len(packets))
		}
		continuous(t, packets)
		if got, want := packets[4].Timestamp, packets[3].Timestamp+40*90; got != want {
			t.Errorf("the new stream begins at %d, want %d: 40 ms on", got, want)
		}
		if got := packets[5].Timestamp - packets[4].Timestamp; got != 3000 {
			t.Errorf("its second frame is %d ticks on, want 3000", got)
		}
		for i, want := range []uint16{200, 200, 201, 202, 203, 204, 204} {
			if pic, tl0, key := picture(packets[i]); pic != want || tl0 != uint8(want+55) || key != 0 && i < 4 {
				t.Errorf("packet %d has picture %d, TL0PICIDX %d, KEYIDX %d, want picture %d", i, pic, tl0, key, want)
			}
		}
		if !slices.Equal(source, vp8(true, true, 10, 10, "untouched")) {
			t.Error("the publisher's payload was changed")
		}
		if st := track.Stats(); st.Drops[drop.Waiting] != 1 || a.stream.Stats().Sinks != 0 {
			t.Errorf("drops %v; %d sinks left on the old stream", st.Drops, a.stream.Stats().Sinks)
		}
		track.Switch(nil, nil)
		a.stream.Close()
		b.stream.Close()
	})
}

// TestSwitchAfterSilence: a stream that follows a silent one begins with its cached key frame, a replay with compressed time.
func TestSwitchAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		track, w := newVideo(t)
		a, b := newPublisher(t, "video/VP8", 90000), newPublisher(t, "video/VP8", 90000)
		track.Switch(a.stream, nil)
		a.frame(true, 1)
		start, base := time.Now(), w.take()[0].Timestamp
		b.seq, b.ts = 7, 77777
		for i := range 60 { // two seconds
			b.frame(i == 0, 1)
			<-time.After(time.Second / 30)
		}
		track.Switch(b.stream, nil)
		for range 60 {
			b.frame(false, 1)
			<-time.After(time.Second / 30)
		}
		packets := w.take()
		if len(packets) != 120 {
			t.Fatalf("%d packets, want 120", len(packets))
		}
		continuous(t, packets)
		for i, p := range packets {
			// At any moment the output's clock shows the time since a's frame, but for the tick within which replays gather.
			ideal := base + uint32(p.at.Sub(start).Seconds()*90000)
			if diff := int32(p.Timestamp - ideal); diff < -4000 || diff > 4000 {
				t.Errorf("packet %d was sent %d ticks off its time", i, diff)
			}
			if i > 0 && p.Timestamp == packets[i-1].Timestamp {
				t.Errorf("frames %d and %d have one timestamp", i-1, i)
			}
		}
		if b.wishes != 0 {
			t.Errorf("%d key frames were asked for", b.wishes)
		}
		// A retransmission of a replayed frame carries the timestamp that it had.
		track.HandleRTCP(nack(t, testSSRC, packets[3].SequenceNumber))
		if again := w.take(); len(again) != 1 || again[0].Timestamp != packets[3].Timestamp {
			t.Errorf("sent again %+v, want timestamp %d", again, packets[3].Timestamp)
		}
		track.Switch(nil, nil)
		a.stream.Close()
		b.stream.Close()
	})
}

// TestAudioSwitchesAtOnce and steps on by at least a packet's time.
func TestAudioSwitchesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &transport{codecs: opus}
		track := newTrack(t, webrtc.RTPCodecTypeAudio, w)
		a, b := newPublisher(t, "audio/opus", 48000), newPublisher(t, "audio/opus", 48000)
		track.Switch(a.stream, nil)
		a.write(fanout.Packet{Seq: 1, Timestamp: 960, Payload: []byte("a"), HasLevel: true, Level: 0x85, HasOrientation: true, Orientation: 2})
		track.Switch(b.stream, nil)
		b.write(fanout.Packet{Seq: 500, Timestamp: 7, Payload: []byte("b")})
		a.write(fanout.Packet{Seq: 2, Timestamp: 1920, Payload: []byte("a")})
		b.write(fanout.Packet{Seq: 501, Timestamp: 967, Payload: []byte("b")})
		packets := w.take()
		if len(packets) != 3 || string(packets[1].payload) != "b" {
			t.Fatalf("sent %+v", packets)
		}
		continuous(t, packets)
		if packets[1].Timestamp != 1920 || packets[2].Timestamp != 2880 {
			t.Errorf("timestamps %d and %d after 960", packets[1].Timestamp, packets[2].Timestamp)
		}
		if got := packets[0].GetExtension(levelID); !slices.Equal(got, []byte{0x85}) {
			t.Errorf("audio level %x", got)
		}
		if got := packets[0].GetExtension(orientationID); !slices.Equal(got, []byte{2}) {
			t.Errorf("orientation %x", got)
		}
		if packets[1].Extension {
			t.Error("the second packet has the first one's extensions")
		}
		track.Switch(nil, nil)
		a.stream.Close()
		b.stream.Close()
	})
}

// TestOpaquePayloads: a stream whose key frames cannot be recognised begins after a second; one where they can waits on, and asks again.
func TestOpaquePayloads(t *testing.T) {
	for _, tc := range []struct {
		name string
		keys bool
		want int
	}{{"never a key frame", false, 2}, {"key frames before", true, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				track, w := newVideo(t)
				p := newPublisher(t, "video/VP8", 90000)
				if tc.keys {
					p.frame(true, 1)
					p.seq++
					p.frame(false, 1)
				}
				track.Switch(p.stream, nil)
				p.write(fanout.Packet{Seq: 1000, Payload: []byte("encrypted")})
				<-time.After(999 * time.Millisecond)
				p.write(fanout.Packet{Seq: 1001, Payload: []byte("encrypted")})
				if n := len(w.take()); n != 0 {
					t.Errorf("%d packets within the first second", n)
				}
				<-time.After(time.Millisecond)
				p.write(fanout.Packet{Seq: 1002, Payload: []byte("encrypted")})
				<-time.After(time.Millisecond)
				p.write(fanout.Packet{Seq: 1003, Payload: []byte("encrypted")})
				packets := w.take()
				if len(packets) != tc.want {
					t.Fatalf("%d packets after a second, want %d", len(packets), tc.want)
				}
				for _, got := range packets {
					if string(got.payload) != "encrypted" {
						t.Errorf("payload %q", got.payload)
					}
				}
				<-time.After(time.Second)
				if wishes := p.wishes; !tc.keys && wishes != 1 || tc.keys && wishes != 2 {
					t.Errorf("%d key frames asked for", wishes)
				}
				track.Switch(nil, nil)
				p.stream.Close()
			})
		})
	}
}

// TestLossAndReordering keep their places in the output, so that the viewer can ask and sort.
func TestLossAndReordering(t *testing.T) {
	track, w := newVideo(t)
	p := newPublisher(t, "video/VP8", 90000)
	track.Switch(p.stream, nil)
	early := p.packet(true, false, false)
	p.frame(true, 1)
	late := p.packet(false, true, true)
	p.next()
	p.seq++ // lost
	p.frame(false, 1)
	p.write(late)
	p.write(early) // before the run began
	packets := w.take()
	var offsets []uint16
	for _, got := range packets {
		offsets = append(offsets, got.SequenceNumber-packets[0].SequenceNumber)
	}
	if !slices.Equal(offsets, []uint16{0, 3, 1}) {
		t.Errorf("offsets %v, want 0 3 1", offsets)
	}
	if n := track.Stats().Drops[drop.Reordered]; n != 1 {
		t.Errorf("%d packets from before the run were counted, want 1", n)
	}
	// What was sent late must not set the clock back for the next stream.
	q := newPublisher(t, "video/VP8", 90000)
	track.Switch(q.stream, nil)
	q.frame(true, 1)
	if got := w.take()[0]; got.SequenceNumber != packets[0].SequenceNumber+4 || int32(got.Timestamp-packets[1].Timestamp) < 90 {
		t.Errorf("the next stream begins at %d, %d", got.SequenceNumber, got.Timestamp)
	}
}

// TestJump: a publisher that begins anew in the middle is like a switch.
func TestJump(t *testing.T) {
	for _, tc := range []struct {
		name string
		seq  uint16
	}{{"ahead", 20000}, {"back", 64000}} {
		t.Run(tc.name, func(t *testing.T) {
			track, w := newVideo(t)
			p := newPublisher(t, "video/VP8", 90000)
			p.seq = 3000
			track.Switch(p.stream, nil)
			p.frame(true, 2)
			p.seq, p.ts = tc.seq, 1<<31
			p.frame(false, 3)
			p.frame(true, 2)
			packets := w.take()
			if len(packets) != 4 {
				t.Fatalf("%d packets, want two key frames", len(packets))
			}
			continuous(t, packets)
			if step := packets[2].Timestamp - packets[1].Timestamp; step > 90000 {
				t.Errorf("the clock jumped by %d", step)
			}
		})
	}
}
