// Package format finds, among the codecs that a viewer negotiated, the one in which it can be sent a stream.
//
// A down.Track keeps the List of its last negotiation. Nothing here blocks or has state.
package format

import (
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout/codec"
)

// Format is one codec that the viewer can be sent.
type Format struct {
	Params webrtc.RTPCodecParameters
	RTX    uint8 // payload type of its retransmissions, 0: none
}

// List is all that a viewer negotiated for one section, in its order of preference.
type List []Format

// Of lists the codecs with their retransmission payload types (RFC 4588 section 8.1).
func Of(params []webrtc.RTPCodecParameters) (formats List) {
	rtx := make(map[string]uint8)
	for _, p := range params {
		if strings.HasSuffix(strings.ToLower(p.MimeType), "/rtx") {
			rtx[codec.Param(p.SDPFmtpLine, "apt", "")] = uint8(p.PayloadType)
		}
	}
	for _, p := range params {
		if !strings.HasSuffix(strings.ToLower(p.MimeType), "/rtx") {
			formats = append(formats, Format{Params: p, RTX: rtx[strconv.Itoa(int(p.PayloadType))]})
		}
	}
	return formats
}

// Best finds the format that takes a stream of that media type and format parameters best; false: none does.
func (l List) Best(mediaType, fmtp string) (best Format, fits bool) {
	grade := codec.None
	for _, f := range l {
		if m := codec.Matches(mediaType, fmtp, f.Params.MimeType, f.Params.SDPFmtpLine); m > grade {
			best, grade = f, m
		}
	}
	return best, grade != codec.None
}
