package codec

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorded is one packet of a stream that Chromium 156 sent (fake camera, 640×480) while it was asked for a key frame every
// second. Payloads are cut to 48 bytes.
type recorded struct {
	seq       uint16
	timestamp uint32
	marker    bool
	size      int
	payload   []byte
}

func readRecording(tb testing.TB, name string) (packets []recorded) {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", "chromium-"+name+".txt"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var p recorded
		var marker int
		var text string
		if _, err := fmt.Sscan(lines.Text(), &p.seq, &p.timestamp, &marker, &p.size, &text); err != nil {
			tb.Fatalf("%s: %q: %v", f.Name(), lines.Text(), err)
		}
		if p.marker = marker == 1; text != "-" {
			if p.payload, err = hex.DecodeString(text); err != nil {
				tb.Fatal(err)
			}
		}
		packets = append(packets, p)
	}
	if len(packets) < 200 {
		tb.Fatalf("%s has only %d packets", f.Name(), len(packets))
	}
	return packets
}

// TestKeyframesOfChromium: the first packet begins a key frame, and three more follow, a second apart, as they were asked for.
func TestKeyframesOfChromium(t *testing.T) {
	for _, name := range []string{"vp8", "vp9", "h264", "av1"} {
		t.Run(name, func(t *testing.T) {
			c := Of("video/" + strings.ToUpper(name))
			var frames []uint32 // timestamps of key frames
			for i, p := range readRecording(t, name) {
				key := c.Read(p.payload).Keyframe
				if i == 0 && !key {
					t.Error("the first packet of the recording does not begin a key frame")
				}
				if key && !slices.Contains(frames, p.timestamp) {
					frames = append(frames, p.timestamp)
				}
			}
			if len(frames) != 4 {
				t.Fatalf("%d key frames, want 4", len(frames))
			}
			for i := 1; i < 4; i++ {
				if apart := frames[i] - frames[i-1]; apart < 60_000 || apart > 135_000 {
					t.Errorf("key frames %d and %d are %d ticks apart, want about 90000", i-1, i, apart)
				}
			}
		})
	}
}

func TestKeyframes(t *testing.T) {
	for _, tc := range []struct {
		name, codec, payload string
		want                 bool
	}{
		{"H264 SPS alone", "video/H264", "6742c01f8c8d40501ed3", true},
		{"H264 PPS alone", "video/H264", "68ce3c80", false},
		{"H264 IDR slice, first", "video/H264", "65b80004000005388c", true},
		{"H264 IDR slice, later one of the picture", "video/H264", "650004000005388c", false},
		{"H264 delta slice", "video/H264", "61e0004000be4053", false},
		{"H264 STAP-A of PPS and IDR", "video/H264", "78000468ce3c80000665b800040000", true},
		{"H264 STAP-A of AUD and delta", "video/H264", "78000209f0000661e000400000", false},
		{"H264 STAP-A with a size beyond the end", "video/H264", "78ffff6742c01f", false},
		{"H264 STAP-B", "video/H264", "790000000a6742c01f8c8d40501ed3", true},
		{"H264 FU-A first of IDR", "video/H264", "7c85b8000400", true},
		{"H264 FU-A second of IDR", "video/H264", "7c056b67091d", false},
		{"H264 FU-B first of IDR", "video/H264", "7d850001b800", true},
		{"H264 FU-A cut short", "video/H264", "7c85", false},
		{"H265 VPS", "video/H265", "40010c01ffff01600000030090000003000003005dac59", true},
		{"H265 SPS", "video/H265", "420101016000000300900000030000030078a0", true},
		{"H265 PPS", "video/H265", "4401c172b46240", false},
		{"H265 IDR_W_RADL, first slice", "video/H265", "2601af0a90fd", true},
		{"H265 IDR_W_RADL, later slice", "video/H265", "26012f0a90fd", false},
		{"H265 CRA", "video/H265", "2a01af0a90fd", true},
		{"H265 TRAIL_R", "video/H265", "0201d00a90fd", false},
		{"H265 AP of VPS, SPS, PPS", "video/H265", "6001000640010c01ffff0006420101016000", true},
		{"H265 AP of trailing pictures", "video/H265", "600100040201d00a", false},
		{"H265 FU first of IDR", "video/H265", "620193af0a90", true},
		{"H265 FU middle of IDR", "video/H265", "620113af0a90", false},
		{"H265 two bytes", "video/H265", "4001", false},
		{"AV1 sequence header without N", "video/AV1", "100a0b0000", true},
		{"AV1 sized sequence header without N", "video/AV1", "200b0a0b00000024", true},
		{"AV1 frame", "video/AV1", "1030c040fdf8", false},
		{"AV1 continued unit with N", "video/AV1", "880a0b", false},
		{"AV1 one byte", "video/AV1", "08", false},
		{"VP8 without extension", "video/VP8", "10f06d009d012a8002e001", true},
		{"VP8 second partition", "video/VP8", "11f06d009d012a8002e001", false},
		{"VP8 not the start of a frame", "video/VP8", "00f06d009d012a8002e001", false},
		{"VP8 encrypted: no start code", "video/VP8", "10f06d001122338002e001", false},
		{"VP8 delta", "video/VP8", "10f16d009d012a8002e001", false},
		{"VP8 only a descriptor", "video/VP8", "90809b0b", false},
		{"VP9 key frame of the base layer", "video/VP9", "a81b0010028001e0", true},
		{"VP9 key frame, upper spatial layer", "video/VP9", "a81b0210028001e0", false},
		{"VP9 not the first packet", "video/VP9", "839f2862fe", false},
		{"VP9 only a descriptor", "video/VP9", "8b9f28", false},
		{"unknown codec", "video/theora", "10f06d009d012a8002e001", false},
		{"sound", "audio/opus", "10f06d009d012a8002e001", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload, err := hex.DecodeString(tc.payload)
			if err != nil {
				t.Fatal(err)
			}
			if got := Of(tc.codec).Read(payload).Keyframe; got != tc.want {
				t.Errorf("Keyframe = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestOf(t *testing.T) {
	for mediaType, want := range map[string]Codec{
		"video/VP8": VP8, "VIDEO/vp9": VP9, "video/h264": H264, "video/H265": H265, "video/AV1": AV1, "audio/opus": Audio, "audio/red": Audio,
		"video/H266": Unknown, "application/x": Unknown, "": Unknown, "vp8": Unknown,
	} {
		if got := Of(mediaType); got != want {
			t.Errorf("Of(%q) = %v, want %v", mediaType, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		name, codec, payload string
		want                 Numbers
	}{
		{"VP8 15 bits", "video/VP8", "90809b0bf06d009d012a", Numbers{Picture: 0x1b0b, Has: true}},
		{"VP8 7 bits", "video/VP8", "90801bf06d009d012a80", Numbers{Picture: 0x1b, Has: true}},
		{"VP8 all", "video/VP8", "90f0ffff07 65 f06d", Numbers{Picture: 0x7fff, TL0: 7, Key: 5, Has: true}},
		{"VP8 temporal id without KEYIDX", "video/VP8", "90a01b65f06d", Numbers{Picture: 0x1b, Has: true}},
		{"VP8 none", "video/VP8", "10f06d00", Numbers{}},
		{"VP9 flexible", "video/VP9", "9b9f2810028001", Numbers{Picture: 0x1f28, Has: true}},
		{"VP9 layers, not flexible", "video/VP9", "ab9f2800 2a 0280", Numbers{Picture: 0x1f28, TL0: 0x2a, Has: true}},
		{"H264", "video/H264", "6742c01f8c", Numbers{}},
	} {
		payload, err := hex.DecodeString(strings.ReplaceAll(tc.payload, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := Of(tc.codec).Read(payload).Numbers(payload); got != tc.want {
			t.Errorf("%s: Numbers = %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestShift(t *testing.T) {
	for _, tc := range []struct{ name, codec, payload, after, want string }{
		{"VP8 goes on after another", "video/VP8", "90f08005076565ff", "90f08064106aaaaa", "90f08065116b65ff"},
		{"VP8 wraps", "video/VP8", "90f08005076565ff", "90f0ffffffffaaaa", "90f0800000 60 65ff"},
		{"VP8 7 bits", "video/VP8", "908005f06d", "90807ff06d", "908000f06d"},
		{"VP8 7 after 15 bits", "video/VP8", "908005f06d", "90808182f06d", "908003f06d"},
		{"VP8 without numbers stays", "video/VP8", "10f06d00", "90808182f06d", "10f06d00"},
		{"VP8 after none stays", "video/VP8", "90808182f06d", "10f06d00", "90808182f06d"},
		{"VP9", "video/VP9", "ab9f28002a0280", "ab8005000a0280", "ab8006000b0280"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bytes := func(s string) []byte {
				b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			c, payload, after, want := Of(tc.codec), bytes(tc.payload), bytes(tc.after), bytes(tc.want)
			d := c.Read(payload)
			shift := ShiftAfter(c.Read(after).Numbers(after), d.Numbers(payload))
			if moves, changes := shift.Moves(d), !slices.Equal(payload, want); moves != changes {
				t.Errorf("Moves = %v, want %v", moves, changes)
			}
			if shift.Moves(d) {
				shift.Apply(d, payload)
			}
			if !slices.Equal(payload, want) {
				t.Errorf("payload = %x, want %x", payload, want)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	const h264, mode0, mode1 = "video/H264", ";packetization-mode=0", ";packetization-mode=1"
	for _, tc := range []struct {
		stream, streamFmtp, viewer, viewerFmtp string
		want                                   Match
	}{
		{"video/VP8", "", "video/vp8", "", Exact},
		{"video/VP8", "", "video/VP9", "", None},
		{"audio/opus", "minptime=10;useinbandfec=1", "audio/opus", "stereo=1", Exact},
		{"video/VP9", "profile-id=0", "video/VP9", "", Exact},
		{"video/VP9", "profile-id=2", "video/VP9", "profile-id=0", None},
		{"video/AV1", "level-idx=5;profile=0;tier=0", "video/AV1", "level-idx=8", Exact},
		{"video/AV1", "profile=1", "video/AV1", "profile=0", None},
		{"video/H265", "profile-id=1", "video/H265", "level-id=93", Exact},
		{"video/H265", "profile-id=2", "video/H265", "profile-id=1", None},
		{h264, "profile-level-id=42e01f" + mode1, h264, "Profile-Level-Id=42E034; packetization-mode=1", Exact},
		{h264, "profile-level-id=42e01f" + mode1, h264, "profile-level-id=42e01f" + mode0, None},
		{h264, "profile-level-id=42e01f", h264, "profile-level-id=42e01f" + mode0, Exact},
		{h264, "profile-level-id=42e01f" + mode1, h264, "profile-level-id=42001f" + mode1, Fits}, // constrained baseline in baseline
		{h264, "profile-level-id=42e01f" + mode1, h264, "profile-level-id=4d001f" + mode1, Fits}, // in main
		{h264, "profile-level-id=42e01f" + mode1, h264, "profile-level-id=640c1f" + mode1, Fits}, // in constrained high
		{h264, "profile-level-id=640c1f" + mode1, h264, "profile-level-id=64001f" + mode1, Fits}, // constrained high in high
		{h264, "profile-level-id=4d001f" + mode1, h264, "profile-level-id=64001f" + mode1, Fits}, // main in high
		{h264, "profile-level-id=64001f" + mode1, h264, "profile-level-id=42e01f" + mode1, None},
		{h264, "profile-level-id=42001f" + mode1, h264, "profile-level-id=42e01f" + mode1, None}, // baseline may have FMO
		{h264, "profile-level-id=f4001f" + mode1, h264, "profile-level-id=f40028" + mode1, Exact},
		{h264, "profile-level-id=f4001f" + mode1, h264, "profile-level-id=64001f" + mode1, None},
		{h264, "profile-level-id=zz" + mode1, h264, "profile-level-id=zz" + mode1, None},
		{h264, mode1, h264, mode1, Exact},
	} {
		if got := Matches(tc.stream, tc.streamFmtp, tc.viewer, tc.viewerFmtp); got != tc.want {
			t.Errorf("%s %q for %s %q: %v, want %v", tc.stream, tc.streamFmtp, tc.viewer, tc.viewerFmtp, got, tc.want)
		}
	}
}

// FuzzRead: no payload of any codec makes Read, Numbers or Apply fail, and Apply does what ShiftAfter promises.
func FuzzRead(f *testing.F) {
	for i, name := range []string{"vp8", "vp9", "h264", "av1"} {
		for _, p := range readRecording(f, name)[:40] {
			f.Add(uint8(i), p.payload, uint16(p.seq))
		}
	}
	codecs := []Codec{VP8, VP9, H264, AV1, H265, Audio, Unknown}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte, picture uint16) {
		c := codecs[int(which)%len(codecs)]
		before := slices.Clone(payload)
		d := c.Read(payload)
		first := d.Numbers(payload)
		last := Numbers{Picture: picture & 0x7fff, TL0: uint8(picture), Key: uint8(picture) & 0x1f, Has: true}
		shift := ShiftAfter(last, first)
		if !slices.Equal(before, payload) {
			t.Fatal("reading changed the payload")
		}
		if !shift.Moves(d) {
			return
		}
		shift.Apply(d, payload)
		after := c.Read(payload)
		if after != d {
			t.Fatalf("the shape changed: %+v, was %+v", after, d)
		}
		mask := uint16(0x7f)
		if d.wide {
			mask = 0x7fff
		}
		if got, want := after.Numbers(payload).Picture, (last.Picture+1)&mask; got != want {
			t.Fatalf("picture id %#x, want %#x", got, want)
		}
		if len(payload) != len(before) {
			t.Fatal("the length changed")
		}
	})
}

// TestLabelsAreFew: a publisher's words do not become names of time series.
func TestLabelsAreFew(t *testing.T) {
	for mime, want := range map[string]string{
		"video/VP8": "vp8", "video/vp9": "vp9", "video/H264": "h264", "video/H265": "h265", "video/AV1": "av1", "audio/Opus": "opus",
		"audio/PCMU": "other", "video/mine": "other", "": "other",
	} {
		if got := Label(mime); got != want {
			t.Errorf("%q is called %q, want %q", mime, got, want)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"vp8", "vp9", "h264", "av1"} {
		b.Run(name, func(b *testing.B) {
			packets := readRecording(b, name)
			c := Of("video/" + name)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Read(packets[i%len(packets)].payload)
			}
		})
	}
}
