package recording

import (
	"reflect"
	"testing"
	"time"
)

func chromiumOf(t testing.TB) Recording {
	t.Helper()
	r, err := Chromium()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The recording is of 640 × 480 at 30 frames a second and about 1.7 Mbit/s, with sound.
func TestWhatWasRecorded(t *testing.T) {
	t.Parallel()
	r := chromiumOf(t)
	length := r.Video[len(r.Video)-1].At
	bytes, keys, frames := 0, 0, 0
	for i, p := range r.Video {
		if i > 0 && p.Timestamp != r.Video[i-1].Timestamp {
			frames++
		}
		bytes += p.Size
		if p.Key {
			keys++
		}
	}
	fps := float64(frames) / length.Seconds()
	if mbps := float64(bytes) * 8 / 1e6 / length.Seconds(); mbps < 1.5 || mbps > 2 || fps < 29 || fps > 31 || keys != 1 || !r.Video[0].Key || length < 10*time.Second {
		t.Errorf("%.2f Mbit/s, %.1f frames a second and %d key frames in %v", mbps, fps, keys, length)
	}
	if n := float64(len(r.Audio)) / r.Audio[len(r.Audio)-1].At.Seconds(); n < 49 || n > 51 {
		t.Errorf("%.1f packets of audio a second", n)
	}
	if len(chromium) > 64<<10 {
		t.Errorf("it takes %d bytes", len(chromium))
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	r := chromiumOf(t)
	back, err := Decode(r.Encode())
	if err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%v; %d and %d packets came back", err, len(back.Video), len(back.Audio))
	}
}

func FuzzDecode(f *testing.F) {
	short := Recording{Video: chromiumOf(f).Video[:60], Audio: chromiumOf(f).Audio[:5]}.Encode()
	f.Add(short)
	f.Add(short[:len(short)-1])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(r.Encode())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
		for _, s := range []Stream{r.Video, r.Audio} {
			if first, last := s[0], s[len(s)-1]; last.Timestamp == first.Timestamp || last.At == first.At {
				t.Fatalf("nothing to play: %+v", s)
			}
		}
	})
}
