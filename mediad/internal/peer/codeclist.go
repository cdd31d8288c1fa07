package peer

import (
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Media is what a section of a description says of its packets.
type Media struct {
	// Codecs are in the section's order: payload type, media type, clock rate, channels, format parameters and feedback. RTX is left out, and so
	// is a client's RED.
	Codecs     []webrtc.RTPCodecParameters
	Repeats    map[uint8]uint8 // payload types of retransmissions, and of what is sent again (RFC 4588 section 8.6)
	Extensions []webrtc.RTPHeaderExtensionParameter
}

// Negotiated reads a description that pion or the client wrote, by mid. What cannot be read is left out.
func Negotiated(text string) map[string]Media {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return nil
	}
	out := map[string]Media{}
	for _, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		media := Media{Repeats: map[uint8]uint8{}, Extensions: extensionsOf(m)}
		for _, format := range m.MediaName.Formats {
			c, ok := codecOf(m, format)
			switch pt, again := repeated(c); {
			case ok:
				media.Codecs = append(media.Codecs, c)
			case again:
				media.Repeats[uint8(c.PayloadType)] = pt
			}
		}
		out[mid] = media
	}
	return out
}

// repeated is the payload type that RTX repeats.
func repeated(rtx webrtc.RTPCodecParameters) (uint8, bool) {
	if !strings.HasSuffix(strings.ToLower(rtx.MimeType), "/rtx") {
		return 0, false
	}
	for parameter := range strings.SplitSeq(rtx.SDPFmtpLine, ";") {
		if apt, ok := strings.CutPrefix(strings.TrimSpace(parameter), "apt="); ok {
			pt, err := strconv.ParseUint(apt, 10, 7)
			return uint8(pt), err == nil
		}
	}
	return 0, false
}

// extensionsOf reads a=extmap (RFC 8285 section 5).
func extensionsOf(m *sdp.MediaDescription) (out []webrtc.RTPHeaderExtensionParameter) {
	for _, a := range m.Attributes {
		number, uri, ok := strings.Cut(a.Value, " ")
		if a.Key != sdp.AttrKeyExtMap || !ok {
			continue
		}
		number, _, _ = strings.Cut(number, "/")
		uri, _, _ = strings.Cut(uri, " ")
		if id, err := strconv.ParseUint(number, 10, 8); err == nil {
			out = append(out, webrtc.RTPHeaderExtensionParameter{URI: uri, ID: int(id)}) //nolint:gosec // a byte
		}
	}
	return out
}

func codecOf(m *sdp.MediaDescription, format string) (c webrtc.RTPCodecParameters, ok bool) {
	pt, err := strconv.ParseUint(format, 10, 7)
	if err != nil {
		return c, false
	}
	c.PayloadType = webrtc.PayloadType(pt)
	for _, a := range m.Attributes {
		number, rest, _ := strings.Cut(a.Value, " ")
		if number != format {
			continue
		}
		switch a.Key {
		case "rtpmap":
			f := strings.Split(rest, "/")
			if len(f) < 2 {
				return c, false
			}
			rate, err := strconv.ParseUint(f[1], 10, 32)
			if err != nil {
				return c, false
			}
			c.MimeType, c.ClockRate = m.MediaName.Media+"/"+f[0], uint32(rate)
			if len(f) > 2 && f[2] == "2" {
				c.Channels = 2
			}
		case "fmtp":
			c.SDPFmtpLine = rest
		case "rtcp-fb":
			kind, parameter, _ := strings.Cut(rest, " ")
			c.RTCPFeedback = append(c.RTCPFeedback, webrtc.RTCPFeedback{Type: kind, Parameter: parameter})
		}
	}
	name := strings.ToLower(c.MimeType)
	return c, c.ClockRate > 0 && !strings.HasSuffix(name, "/rtx") && !strings.HasSuffix(name, "/red")
}

// Outgoing prepares a description of ours for a viewer: a section that has nothing to send is inactive, not sendonly, so that
// the browser fires a track event when it is used later. pion keeps its own text.
func Outgoing(text string) (string, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return "", err
	}
	for _, m := range desc.MediaDescriptions {
		if _, sends := m.Attribute("msid"); sends || m.MediaName.Media == "application" {
			continue
		}
		for i, a := range m.Attributes {
			if a.Key == "sendonly" {
				m.Attributes[i] = sdp.NewPropertyAttribute("inactive")
			}
		}
	}
	b, err := desc.Marshal()
	return string(b), err
}
