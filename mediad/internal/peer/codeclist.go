package peer

import (
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Negotiated lists, by mid, the media codecs of a description that pion or the client wrote, in its order: payload type, media
// type, clock rate, channels and format parameters. RTX is left out, and so is a client's RED, as are sections that cannot be read.
func Negotiated(text string) map[string][]webrtc.RTPCodecParameters {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return nil
	}
	out := map[string][]webrtc.RTPCodecParameters{}
	for _, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		for _, format := range m.MediaName.Formats {
			if c, ok := codecOf(m, format); ok {
				out[mid] = append(out[mid], c)
			}
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
