package synth

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

func source(t testing.TB, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestKeyFramesAreSeen checks each codec by our own detector: the first packet of a key frame and nothing else.
func TestKeyFramesAreSeen(t *testing.T) {
	for _, codec := range []Codec{VP8, VP9, H264, AV1} {
		for _, packets := range []int{1, 2, 3, 6} {
			s := source(t, Config{Codec: codec, Packets: packets})
			for frame := range 6 {
				if frame == 4 {
					s.RequestKey()
				}
				key := frame == 0 || frame == 4
				began := false
				for i, p := range s.Next() {
					got := StartsKeyFrame(codec, p.Payload)
					if i == 0 && got != key || got && !key {
						t.Errorf("%s, %d packets a frame, frame %d packet %d: seen as the start of a key frame: %v", codec, packets, frame, i, got)
					}
					began = began || got
					if p.Marker != (i == packets-1) {
						t.Errorf("%s: marker of packet %d of %d is %v", codec, i, packets, p.Marker)
					}
				}
				if began != key {
					t.Errorf("%s, %d packets a frame, frame %d: key frame seen: %v", codec, packets, frame, began)
				}
			}
		}
	}
}

// TestParsersOfOthersAgree has pion's parsers read what we wrote.
func TestParsersOfOthersAgree(t *testing.T) {
	vp8 := source(t, Config{Codec: VP8})
	var last uint16
	for frame := range 3 {
		for i, p := range vp8.Next() {
			var d codecs.VP8Packet
			body, err := d.Unmarshal(p.Payload)
			if err != nil || d.S != b2u(i == 0) || d.I != 1 || d.PID != 0 {
				t.Fatalf("VP8 packet %d: %+v, %v", i, d, err)
			}
			if key := body[0]&1 == 0; i == 0 && key != (frame == 0) {
				t.Errorf("VP8 frame %d is a key frame: %v", frame, key)
			}
			if i == 0 && frame > 0 && d.PictureID != (last+1)&0x7fff {
				t.Errorf("VP8 picture %d follows %d", d.PictureID, last)
			}
			last = d.PictureID
		}
	}

	vp9 := source(t, Config{Codec: VP9})
	for frame := range 2 {
		for i, p := range vp9.Next() {
			var d codecs.VP9Packet
			if _, err := d.Unmarshal(p.Payload); err != nil || d.B != (i == 0) || d.E != p.Marker || d.P != (frame > 0) || d.V != (frame == 0 && i == 0) {
				t.Fatalf("VP9 frame %d packet %d: %+v, %v", frame, i, d, err)
			}
			if d.V && (d.Width[0] != width || d.Height[0] != height) {
				t.Errorf("VP9 key frame of %d × %d", d.Width, d.Height)
			}
		}
	}

	for packets, want := range map[int][]byte{1: {7, 8, 5, 1}, 2: {7, 8, 6, 5, 1}, 6: {7, 8, 6, 5, 1}} {
		h264 := source(t, Config{Codec: H264, Packets: packets})
		var d codecs.H264Packet
		var types []byte
		for range 2 {
			for i, p := range h264.Next() {
				out, err := d.Unmarshal(p.Payload)
				if err != nil {
					t.Fatalf("H264 packet %d: %v", i, err)
				}
				for _, nal := range bytes.Split(out, []byte{0, 0, 0, 1})[1:] {
					types = append(types, nal[0]&0x1f)
				}
				if n := bytes.Count(out, []byte{0, 0, 0, 1}); len(out) > 0 && n == 0 {
					t.Errorf("H264 packet %d: no start code", i)
				}
			}
		}
		if !bytes.Equal(types, want) {
			t.Errorf("H264 in %d packets has the NAL units %v, want %v", packets, types, want)
		}
	}

	av1 := source(t, Config{Codec: AV1})
	var d codecs.AV1Depacketizer
	for frame := range 2 {
		var obus []byte
		for i, p := range av1.Next() {
			out, err := d.Unmarshal(p.Payload)
			if err != nil {
				t.Fatalf("AV1 packet %d: %v", i, err)
			}
			obus = append(obus, out...)
		}
		if want := map[int]byte{0: 1, 1: 6}[frame]; len(obus) == 0 || obus[0]>>3&0xf != want {
			t.Errorf("AV1 frame %d begins with OBU %x", frame, obus[:min(len(obus), 4)])
		}
	}
}

func b2u(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

type sent struct {
	at   time.Duration
	p    rtp.Packet
	mark Stamp
}

// run lets a source run for a while of fake time and returns what it wrote.
func run(t *testing.T, cfg Config, d time.Duration, during func(s *Source)) []sent {
	t.Helper()
	var out []sent
	synctest.Test(t, func(t *testing.T) {
		s := source(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		begin := time.Now()
		if during != nil {
			go during(s)
		}
		err := s.Run(ctx, func(p *rtp.Packet) error {
			mark, ok := ReadStamp(p.Payload)
			if !ok || mark.Stream != s.Stream() || !mark.Sent.Equal(time.Now()) {
				t.Errorf("stamp %+v, %v at %v", mark, ok, time.Now())
			}
			out = append(out, sent{time.Since(begin), *p.Clone(), mark})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	for i := 1; i < len(out); i++ {
		if out[i].mark.Count != out[i-1].mark.Count+1 || out[i].p.SequenceNumber != out[i-1].p.SequenceNumber+1 {
			t.Fatalf("packet %d does not follow the one before: %+v, %+v", i, out[i-1].p.Header, out[i].p.Header)
		}
	}
	return out
}

func TestBurst(t *testing.T) {
	out := run(t, Config{Codec: VP8}, time.Second-time.Millisecond, nil)
	if len(out) != 180 {
		t.Fatalf("%d packets in a second", len(out))
	}
	for i, o := range out {
		if want := time.Duration(i/6) * (time.Second / 30); o.at != want {
			t.Errorf("packet %d was sent after %v, want %v", i, o.at, want)
		}
		if len(o.p.Payload) != 1200 || o.p.Timestamp != out[i-i%6].p.Timestamp {
			t.Errorf("packet %d: %d bytes, timestamp %d", i, len(o.p.Payload), o.p.Timestamp)
		}
	}
	if step := out[174].p.Timestamp - out[0].p.Timestamp; step < 29*2999 || step > 29*3000 {
		t.Errorf("29 frames took %d ticks", step)
	}
}

func TestAudio(t *testing.T) {
	out := run(t, Config{Codec: Opus}, time.Second-time.Millisecond, nil)
	if len(out) != 50 {
		t.Fatalf("%d packets in a second", len(out))
	}
	if step := out[49].p.Timestamp - out[0].p.Timestamp; step != 49*960 {
		t.Errorf("49 packets took %d ticks", step)
	}
	if !StartsKeyFrame(Opus, out[0].p.Payload) || out[0].p.Marker {
		t.Error("audio needs no key frame and has no marker")
	}
}

func TestKeyFramesComeWhenDue(t *testing.T) {
	out := run(t, Config{Codec: VP8, Packets: 1, KeyEvery: time.Second}, 2500*time.Millisecond, func(s *Source) {
		<-time.After(1500*time.Millisecond - time.Millisecond)
		s.RequestKey()
	})
	var keys []int
	for i, o := range out {
		if StartsKeyFrame(VP8, o.p.Payload) {
			keys = append(keys, i)
		}
	}
	// The first, one by the second, the one asked for: the count begins anew there.
	if want := []int{0, 31, 45}; len(keys) != 3 || keys[0] != want[0] || keys[1] > 31 || keys[1] < 30 || keys[2] != want[2] {
		t.Errorf("key frames %v, want about %v", keys, want)
	}
}

func TestMute(t *testing.T) {
	out := run(t, Config{Codec: VP8, Packets: 1}, 3*time.Second-time.Millisecond, func(s *Source) {
		<-time.After(time.Second - time.Millisecond)
		s.Mute(true)
		<-time.After(time.Second)
		s.Mute(false)
	})
	if len(out) != 60 {
		t.Fatalf("%d packets", len(out))
	}
	if gap := out[30].at - out[29].at; gap < time.Second || !StartsKeyFrame(VP8, out[30].p.Payload) {
		t.Errorf("after a second of silence: gap %v", gap)
	}
	if step := out[30].p.Timestamp - out[29].p.Timestamp; step < 90000 || step > 94000 {
		t.Errorf("the clock went on by %d ticks", step)
	}
}

func TestALateSourceDoesNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := source(t, Config{Codec: VP8, Packets: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		n := 0
		var stamps []uint32
		if err := s.Run(ctx, func(p *rtp.Packet) error {
			if n++; n == 1 {
				<-time.After(10 * time.Second) // the machine sleeps
			}
			stamps = append(stamps, p.Timestamp)
			return nil
		}); err != nil {
			t.Error(err)
		}
		if n > 100 {
			t.Errorf("%d packets after the sleep", n)
		}
		if ticks := stamps[len(stamps)-1] - stamps[0]; ticks < 11*90000 {
			t.Errorf("the clock stands at %d ticks after 12 s", ticks)
		}
	})
}

func TestRunEndsWithTheErrorOfWrite(t *testing.T) {
	failed := errors.New("no more")
	s := source(t, Config{Codec: VP8})
	if err := s.Run(t.Context(), func(*rtp.Packet) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
}

func TestBadConfigs(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{Codec: "video/H266"},
		{Codec: VP8, Model: "slow"},
		{Codec: VP8, FPS: 121},
		{Codec: VP8, FPS: -1},
		{Codec: VP8, Packets: 65},
		{Codec: VP8, Size: 59},
		{Codec: VP8, Size: 1401},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func FuzzReaders(f *testing.F) {
	for _, codec := range []Codec{VP8, VP9, H264, AV1, Opus} {
		s := source(f, Config{Codec: codec, Size: 64})
		for _, p := range s.Next() {
			s.stamp(&p)
			f.Add(bytes.Clone(p.Payload))
		}
	}
	f.Add([]byte{})
	f.Add([]byte{0x90, 0xff})
	f.Add([]byte{24, 0, 0, 7, 0xff, 0xff, 5})
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		for _, codec := range []Codec{VP8, VP9, H264, AV1, Opus, "other"} {
			StartsKeyFrame(codec, payload)
		}
		if mark, ok := ReadStamp(payload); ok {
			mark.write(payload)
		}
		if !bytes.Equal(before, payload) {
			t.Fatalf("%x became %x", before, payload)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	s := source(b, Config{Codec: VP8})
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range s.Next() {
			s.stamp(&p)
		}
	}
}
