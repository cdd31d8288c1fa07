package codec

import (
	"encoding/hex"
	"strings"
	"testing"
)

// The fake camera of Chromium sent 640×480, and each key frame says so.
func TestSizesOfChromium(t *testing.T) {
	for _, name := range []string{"vp8", "vp9", "h264"} {
		c := Of("video/" + strings.ToUpper(name))
		found := 0
		for _, p := range readRecording(t, name) {
			if w, h := c.Size(p.payload); w != 0 || h != 0 {
				found++
				if w != 640 || h != 480 {
					t.Errorf("%s: %d × %d", name, w, h)
				}
			}
		}
		if found < 4 {
			t.Errorf("%s: %d sizes in four key frames", name, found)
		}
	}
}

func TestSize(t *testing.T) {
	const (
		hd     = "6764001facd9405005bb011000000300100000030 3c0f1831960" // x264, high profile, 1280×720
		fullHD = "67640028acd940780227e5c04400000300040000030 0f03c60c658"
	)
	for name, c := range map[string]struct {
		codec         Codec
		payload       string
		width, height int
	}{
		"VP8":                              {VP8, "10 502a01 9d012a 0005 d002", 1280, 720},
		"VP8, scaled up by the receiver":   {VP8, "10 502a01 9d012a 0045 d042", 1280, 720},
		"VP8, a picture id before":         {VP8, "9080 8123 502a01 9d012a 0005 d002", 1280, 720},
		"VP8, cut":                         {VP8, "10 502a01 9d012a 0005 d0", 0, 0},
		"VP8, no key frame":                {VP8, "10 512a01 9d012a 0005 d002", 0, 0},
		"VP9, one layer":                   {VP9, "8a 8123 10 0500 02d0 82", 1280, 720},
		"VP9, the largest of three layers": {VP9, "aa 8123 00 00 50 0140 00b4 0280 0168 0500 02d0 82", 1280, 720},
		"VP9, no sizes":                    {VP9, "8a 8123 08 82", 0, 0},
		"VP9, cut":                         {VP9, "8a 8123 10 0500 02", 0, 0},
		"VP9, no structure":                {VP9, "88 8123 82", 0, 0},
		"H264":                             {H264, hd, 1280, 720},
		"H264, cropped":                    {H264, fullHD, 1920, 1080},
		"H264, a set in an aggregate":      {H264, "78 0001 09 001a " + hd, 1280, 720},
		"H264, a slice":                    {H264, "65 88 84 00", 0, 0},
		"H264, cut":                        {H264, "6764001facd9", 0, 0},
		"H264, an aggregate that lies":     {H264, "78 ffff 67", 0, 0},
		"AV1":                              {AV1, "18 0a0b", 0, 0},
		"nothing":                          {VP8, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(strings.ReplaceAll(c.payload, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if w, h := c.codec.Size(b); w != c.width || h != c.height {
				t.Errorf("%d × %d, want %d × %d", w, h, c.width, c.height)
			}
		})
	}
}

// FuzzSize: no payload makes Size fail, and none claims pictures that no decoder would show.
func FuzzSize(f *testing.F) {
	for i, name := range []string{"vp8", "vp9", "h264"} {
		f.Add(uint8(i), readRecording(f, name)[0].payload)
	}
	f.Fuzz(func(t *testing.T, which uint8, payload []byte) {
		w, h := []Codec{VP8, VP9, H264, AV1, H265, Audio, Unknown}[int(which)%7].Size(payload)
		if w < 0 || h < 0 || w > 1<<16 || h > 1<<16 {
			t.Errorf("%d × %d", w, h)
		}
	})
}
