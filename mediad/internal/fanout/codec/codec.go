// Package codec tells what a media type's format parameters and the first bytes of its payload mean to a forwarder.
//
// It never decodes media and never fails: what it cannot read, because it is malformed, encrypted end to end or of an unknown
// codec, is reported as "nothing known". The fan-out calls it once per packet when a packet enters the node, the outgoing tracks
// when a packet must be renumbered. Nothing here blocks, allocates or keeps a reference to a payload.
package codec

import "strings"

// Codec is a payload format whose first bytes this package can read, or Audio, or Unknown.
type Codec uint8

// The codecs. Of audio nothing needs to be read: every packet may be the first.
const (
	Unknown Codec = iota
	Audio
	VP8
	VP9
	H264
	H265
	AV1
)

// Of returns the codec of a media type such as "video/VP8"; case does not matter (RFC 4855 section 3).
func Of(mediaType string) Codec {
	kind, name, _ := strings.Cut(strings.ToLower(mediaType), "/")
	switch {
	case kind == "audio":
		return Audio
	case kind != "video":
		return Unknown
	}
	switch name {
	case "vp8":
		return VP8
	case "vp9":
		return VP9
	case "h264":
		return H264
	case "h265":
		return H265
	case "av1":
		return AV1
	}
	return Unknown
}

// Label names a media type in metrics. There are few names, whatever a publisher says of its codec.
func Label(mediaType string) string {
	switch c := Of(mediaType); {
	case strings.EqualFold(mediaType, "audio/opus"):
		return "opus"
	case c == VP8:
		return "vp8"
	case c == VP9:
		return "vp9"
	case c == H264:
		return "h264"
	case c == H265:
		return "h265"
	case c == AV1:
		return "av1"
	}
	return "other"
}

// Desc is what the first bytes of one payload say. The zero value says nothing. It is small and refers to the payload by
// offsets only, so that it can be stored beside it.
type Desc struct {
	Keyframe bool // the payload begins a key frame: a decoder may start here

	wide    bool  // the picture id has 15 bits instead of 7
	picture uint8 // offset of the picture id, 0: none (offset 0 is always a flag byte)
	tl0     uint8 // offset of TL0PICIDX, 0: none
	key     uint8 // offset of the byte that holds KEYIDX in its low five bits, 0: none
}

// Read looks at the first bytes of payload. Payloads are hostile: any bytes are allowed.
func (c Codec) Read(payload []byte) Desc {
	if len(payload) == 0 {
		return Desc{}
	}
	switch c {
	case VP8:
		return readVP8(payload)
	case VP9:
		return readVP9(payload)
	case H264:
		return Desc{Keyframe: keyH264(payload)}
	case H265:
		return Desc{Keyframe: keyH265(payload)}
	case AV1:
		return Desc{Keyframe: keyAV1(payload)}
	case Unknown, Audio:
	}
	return Desc{}
}
