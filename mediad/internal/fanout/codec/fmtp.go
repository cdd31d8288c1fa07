package codec

import (
	"encoding/hex"
	"strings"
)

// Match says how well a viewer's negotiated format takes a stream.
type Match uint8

// The grades, worst first.
const (
	None  Match = iota // the viewer could not decode it
	Fits               // it could, though the parameters differ
	Exact              // the parameters that matter are the same
)

// Matches grades a viewer's format (media type and fmtp line) for a stream. Parameters that a receiver may ignore, such as
// levels and bit rates, are not compared; of those absent the codec's defaults count.
func Matches(streamType, streamFmtp, viewerType, viewerFmtp string) Match {
	if !strings.EqualFold(streamType, viewerType) {
		return None
	}
	param := func(key, absent string) (stream, viewer string) {
		return Param(streamFmtp, key, absent), Param(viewerFmtp, key, absent)
	}
	var stream, viewer string
	switch Of(streamType) {
	case H264:
		return matchH264(streamFmtp, viewerFmtp)
	case VP9: // RFC 9628 section 6
		stream, viewer = param("profile-id", "0")
	case AV1: // AV1 RTP specification section 7.2
		stream, viewer = param("profile", "0")
	case H265: // RFC 7798 section 7.1
		stream, viewer = param("profile-id", "1")
	case Unknown, Audio, VP8:
	}
	if stream != viewer {
		return None
	}
	return Exact
}

// matchH264 compares by RFC 6184 section 8.1: the packetization modes must agree, and the viewer's profile must contain the stream's.
func matchH264(stream, viewer string) Match {
	if Param(stream, "packetization-mode", "0") != Param(viewer, "packetization-mode", "0") {
		return None
	}
	const absent = "420010" // section 8.1: Baseline without constraints, level 1
	a, b := profileOf(Param(stream, "profile-level-id", absent)), profileOf(Param(viewer, "profile-level-id", absent))
	switch {
	case a == b && a != 0:
		return Exact
	case a&b == a && a != 0 && a < 1<<8:
		return Fits
	}
	return None
}

// profileOf turns a profile-level-id into a set of coding tools, so that "contains" is a subset test: Constrained Baseline is in
// Baseline, Main and Constrained High; Main and Constrained High are in High. Other profiles only match themselves. 0: unreadable.
func profileOf(id string) (tools uint32) {
	const core, fmo, interlace, transform = 1, 2, 4, 8
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 3 {
		return 0
	}
	idc, constraints := raw[0], raw[1]
	switch idc {
	case 0x42, 0x4d: // Baseline, Main: constraint_set1 and 0 narrow each to what both share
		if constraints&0x40 != 0 && idc == 0x42 || constraints&0x80 != 0 && idc == 0x4d {
			return core
		}
		if idc == 0x4d {
			return core | interlace
		}
		return core | fmo
	case 0x64: // High; constraint_set4 and 5 make it Constrained High
		if constraints&0x0c == 0x0c {
			return core | transform
		}
		return core | interlace | transform
	}
	return uint32(idc) << 8 // above the tools: never in another's set
}

// Param finds the value of key in an fmtp line, "a=1;b=2"; keys do not depend on case.
func Param(line, key, absent string) string {
	for part := range strings.SplitSeq(line, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(strings.TrimSpace(k), key) {
			return strings.ToLower(strings.TrimSpace(v))
		}
	}
	return absent
}
