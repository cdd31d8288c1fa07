package synth

import (
	"testing"
	"time"

	"weever/mediad/internal/client/recording"
)

func chromium(t testing.TB) recording.Recording {
	t.Helper()
	r, err := recording.Chromium()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// frames gathers what a source wrote by timestamps.
func frames(out []sent) (all [][]sent) {
	for i, o := range out {
		if i == 0 || o.p.Timestamp != out[i-1].p.Timestamp {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], o)
	}
	return all
}

// What is played is what was recorded: sizes, times and the order of both, over and over.
func TestBrowser(t *testing.T) {
	want := picturesOf(chromium(t).Video)
	const length = 25 * time.Second // the loop twice, and more
	out := run(t, Config{Codec: VP8, Model: Browser}, length, nil)
	got := frames(out)
	if n := len(got); n < 29*25 || n > 31*25 {
		t.Fatalf("%d frames in %v", n, length)
	}
	for i, o := range got[0] {
		if part := want[0].parts[i]; len(o.p.Payload) != part.size || o.at > part.after || o.at < part.after-2*time.Millisecond || len(got[0]) != len(want[0].parts) {
			t.Errorf("packet %d of the key frame: %d bytes after %v, want %+v", i, len(o.p.Payload), o.at, part)
		}
	}
	for want[0].at < settling {
		want = want[1:]
	}
	want = want[:len(want)-1]
	mean := (want[len(want)-1].at - want[0].at) / time.Duration(len(want)-1)
	for i, f := range got[1:] {
		parts := want[(i+1)%len(want)].parts // the key frame took the place of the first
		if len(f) != len(parts) || len(f[0].p.Payload) != parts[0].size || len(f[len(f)-1].p.Payload) != parts[len(parts)-1].size || !f[len(f)-1].p.Marker {
			t.Fatalf("frame %d has %d packets of %d to %d bytes, want %+v", i+1, len(f), len(f[0].p.Payload), len(f[len(f)-1].p.Payload), parts)
		}
		if i < 5 {
			continue // they make up for the key frame
		}
		if gap := f[0].at - got[i][0].at; gap > 4*mean {
			t.Errorf("frame %d comes %v after the one before", i+1, gap)
		}
		if ticks := f[0].p.Timestamp - got[i][0].p.Timestamp; ticks == 0 || ticks > 4*3000 {
			t.Errorf("frame %d is %d ticks after the one before", i+1, ticks)
		}
	}
	drift := got[len(got)-1][0].at - time.Duration(got[len(got)-1][0].p.Timestamp-got[0][0].p.Timestamp)*time.Second/90000
	if drift < -100*time.Millisecond || drift > 100*time.Millisecond {
		t.Errorf("after %v the clock is off by %v", length, drift)
	}
}

// Silence is recorded in three bytes; a stamp needs more.
func TestBrowsersAudio(t *testing.T) {
	audio := chromium(t).Audio
	out := run(t, Config{Codec: Opus, Model: Browser}, 5*time.Second, nil)
	if len(out) < 245 || len(out) > 255 {
		t.Fatalf("%d packets", len(out))
	}
	for i, o := range out {
		if want := max(audio[i].Size, 1+stampSize); len(o.p.Payload) != want || o.at != audio[i].At || o.p.Marker {
			t.Errorf("packet %d: %d bytes after %v, recorded %+v", i, len(o.p.Payload), o.at, audio[i])
		}
	}
}

// A layer of simulcast has some of each frame's packets, and one at least; a slow camera has fewer frames.
func TestBrowserInProportion(t *testing.T) {
	count := func(cfg Config) (packets, pictures int) {
		out := run(t, cfg, 5*time.Second, nil)
		return len(out), len(frames(out))
	}
	whole, pictures := count(Config{Codec: H264, Model: Browser})
	if half, n := count(Config{Codec: H264, Model: Browser, Packets: 3}); n != pictures || half < whole*4/10 || half > whole*6/10 {
		t.Errorf("%d packets in %d frames; whole: %d in %d", half, n, whole, pictures)
	}
	if slow, n := count(Config{Codec: H264, Model: Browser, FPS: 15}); n < pictures*4/10 || n > pictures*6/10 || slow < whole*4/10 || slow > whole*6/10 {
		t.Errorf("%d packets in %d frames at half the speed; else %d in %d", slow, n, whole, pictures)
	}
}

// Whatever can be decoded can be played: pictures, and time that passes.
func TestPlaysTheLeast(t *testing.T) {
	t.Parallel()
	for _, key := range []bool{false, true} {
		p := newPlayed(Config{Codec: VP8, FPS: 30, Packets: 6}, recording.Stream{{Size: 1, Key: key}, {At: time.Microsecond, Timestamp: 1, Size: 1}})
		if packets, size := p.most(); packets != 1 || size != 1 || len(p.loop) != 1 || p.period <= 0 || p.ticks == 0 {
			t.Errorf("%+v", p)
		}
	}
}
