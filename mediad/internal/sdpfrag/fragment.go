// Package sdpfrag reads and writes the SDP fragments of trickle ICE (RFC 8840 section 4.4), the bodies of PATCH.
//
// A fragment is a piece of SDP with the ICE lines alone:
//
//	a=ice-options:trickle
//	a=group:BUNDLE 0 1
//	m=audio 9 UDP/TLS/RTP/SAVPF 0
//	a=mid:0
//	a=ice-ufrag:ysXw
//	a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k
//	a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host
//	a=end-of-candidates
//
// Everything is bundled, so there is one transport and at most one m-section that matters: the one the session's offer tagged.
// Real clients leave out what they think is plain (the port, the mid, the m-line), so the reader forgives that. It wraps the
// fragment and leaves the parsing to pion/sdp; candidates are judged by pion/ice.
//
// Sessions call Parse for a body and FromSDP for the reply to an ICE restart; clients call FromSDP and ParseReply. The package knows
// bytes only; nothing in it lives longer than a call.
package sdpfrag

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/sdp/v3"
)

// ContentType is the media type of a fragment (RFC 8840 section 9).
const ContentType = "application/trickle-ice-sdpfrag"

// Limits of what Parse takes.
const (
	MaxSize       = 16 << 10 // bytes of a fragment
	MaxCandidates = 64       // candidates kept of one fragment; more are skipped
)

// The errors of Parse and FromSDP. Their texts may be shown to the client; they never repeat the input.
var (
	// ErrTooLarge says that the fragment exceeds MaxSize.
	ErrTooLarge = fmt.Errorf("fragment is larger than %d bytes", MaxSize)
	// ErrSyntax is wrapped by all others.
	ErrSyntax = errors.New("malformed SDP fragment")
)

// Fragment is what a fragment says about the session's one transport.
type Fragment struct {
	Ufrag, Pwd string   // ICE credentials; both empty when the fragment has none. Pwd alone may be missing
	Mid        string   // of the section; empty when the fragment does not say
	Media      string   // media of that section: "audio", "video" or "application"; empty when there is no m-line
	Group      string   // value of a=group, "BUNDLE 0 1"; empty when missing
	Options    string   // value of a=ice-options; empty when missing
	Pacing     string   // value of a=ice-pacing; empty when missing
	Lite       bool     // a=ice-lite
	Candidates []string // usable ones, "candidate:…", each once, in the order given
	Skipped    int      // candidates left out: TCP, mDNS names, unknown types, another generation, too many
	End        bool     // a=end-of-candidates: no more will come in this generation
}

// Restarts reports whether the fragment asks for an ICE restart of a session whose remote user fragment is ufrag: whatever the
// client calls it, changed credentials are one (RFC 9725 section 4.3.3). The caller must refuse one without Pwd.
func (f Fragment) Restarts(ufrag string) bool { return f.Ufrag != "" && f.Ufrag != ufrag }

// Parse reads a fragment from a client. tag is the mid of the section that carries the session's transport; what the fragment
// says of other sections is passed over, for they share that transport. An empty tag takes the first section.
//
// Candidates that cannot be used are skipped without an error; everything else that is wrong is ErrTooLarge or wraps ErrSyntax.
func Parse(body []byte, tag string) (Fragment, error) {
	f, err := parse(body, tag)
	if err != nil {
		return Fragment{}, err
	}
	f.dropUnusable()
	return f, nil
}

// ParseReply reads a server's answer to an ICE restart. It differs from Parse in that all candidates are kept: a client may well
// reach a server by TCP.
func ParseReply(body []byte) (Fragment, error) { return parse(body, "") }

func parse(body []byte, tag string) (Fragment, error) {
	if len(body) > MaxSize {
		return Fragment{}, ErrTooLarge
	}
	wrapped, err := wrap(string(body))
	if err != nil {
		return Fragment{}, err
	}
	var d sdp.SessionDescription
	if d.UnmarshalString(wrapped) != nil {
		return Fragment{}, fmt.Errorf("%w: lines are out of order or unknown", ErrSyntax)
	}
	return read(&d, tag)
}

// FromSDP takes the fragment out of a whole session description: what to send when the rest is known already. The transport is
// that of the first section that is not rejected; its candidates are taken, TCP and all.
func FromSDP(description string) (Fragment, error) {
	var d sdp.SessionDescription
	if d.UnmarshalString(description) != nil {
		return Fragment{}, fmt.Errorf("%w: not a session description", ErrSyntax)
	}
	for _, m := range d.MediaDescriptions {
		if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value != 0 || bundled {
			mid, _ := m.Attribute(sdp.AttrKeyMID)
			f, err := read(&d, mid)
			// pion writes each candidate for RTCP too, which is muxed (RFC 9725 section 4.4.1) and needs none.
			f.Candidates = slices.DeleteFunc(f.Candidates, func(s string) bool {
				c, err := ice.UnmarshalCandidate(s)
				return err != nil || c.Component() != ice.ComponentRTP
			})
			return f, err
		}
	}
	return Fragment{}, fmt.Errorf("%w: the description has no live section", ErrSyntax)
}

// wrap makes a session description of a fragment: RFC 8840 leaves out the lines that SDP requires. m-lines are replaced, since
// nothing in them counts and some clients leave out their port.
func wrap(fragment string) (string, error) {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")
	empty := true
	for line := range strings.SplitSeq(fragment, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if line == "" {
			continue
		}
		if len(line) < 3 || line[1] != '=' || strings.ContainsAny(line, "\r\x00") {
			return "", fmt.Errorf("%w: a line is not of the form a=…", ErrSyntax)
		}
		if line[0] == 'm' {
			media, _, _ := strings.Cut(line[2:], " ")
			if line = mediaLine(media); line == "" {
				return "", fmt.Errorf("%w: a section is neither audio, video nor application", ErrSyntax)
			}
		}
		b.WriteString(line)
		b.WriteString("\r\n")
		empty = false
	}
	if empty {
		return "", fmt.Errorf("%w: it is empty", ErrSyntax)
	}
	return b.String(), nil
}

// read collects what d says of its session level and of the section tagged.
func read(d *sdp.SessionDescription, tag string) (Fragment, error) {
	var f Fragment
	f.Group, _ = d.Attribute(sdp.AttrKeyGroup)
	f.Mid, _ = d.Attribute(sdp.AttrKeyMID) // of a fragment without m-line
	if err := f.take(d.Attributes); err != nil {
		return Fragment{}, err
	}
	if tag != "" && f.Mid != "" && f.Mid != tag {
		f.Candidates, f.End = nil, false
	}
	for _, m := range d.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		if tag != "" && mid != "" && mid != tag {
			continue
		}
		f.Mid, f.Media = cmp.Or(mid, f.Mid), m.MediaName.Media
		if err := f.take(m.Attributes); err != nil {
			return Fragment{}, err
		}
		break
	}
	if f.Ufrag == "" && f.Pwd != "" {
		return Fragment{}, fmt.Errorf("%w: ice-pwd without ice-ufrag", ErrSyntax)
	}
	return f, nil
}

// take adds one level's attributes to f; a section's overrule the session's.
func (f *Fragment) take(attributes []sdp.Attribute) error {
	var ufrag, pwd string
	for _, a := range attributes {
		value := strings.TrimSpace(a.Value)
		var err error
		switch a.Key {
		case "ice-ufrag":
			ufrag, err = once(ufrag, value, 4)
		case "ice-pwd":
			pwd, err = once(pwd, value, 22)
		case sdp.AttrKeyICEOptions:
			f.Options = value
		case "ice-pacing":
			f.Pacing = value
		case sdp.AttrKeyICELite:
			f.Lite = true
		case sdp.AttrKeyCandidate:
			f.Candidates = append(f.Candidates, "candidate:"+value)
		case sdp.AttrKeyEndOfCandidates, "end-of-candiadates": // the second is what medooze clients write
			f.End = true
		}
		if err != nil {
			return err
		}
	}
	if ufrag != "" {
		f.Ufrag = ufrag
	}
	if pwd != "" {
		f.Pwd = pwd
	}
	return nil
}

// once checks a credential (RFC 8839 section 5.4: at least shortest ice-chars, at most 256) that must not be said twice differently.
func once(before, value string, shortest int) (string, error) {
	const iceChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	if len(value) < shortest || len(value) > 256 || strings.Trim(value, iceChars) != "" {
		return "", fmt.Errorf("%w: ice-ufrag takes 4 to 256, ice-pwd 22 to 256 letters, digits, + and /", ErrSyntax)
	}
	if before != "" && before != value {
		return "", fmt.Errorf("%w: two different sets of ICE credentials", ErrSyntax)
	}
	return value, nil
}

// dropUnusable keeps the candidates that can be handed to an ICE agent with UDP sockets. The rest is passed over in silence
// (RFC 9725 section 4.3.2), and so are repetitions.
func (f *Fragment) dropUnusable() {
	var kept []string
	for _, c := range f.Candidates {
		c = mended(c)
		switch {
		case slices.Contains(kept, c):
		case len(kept) == MaxCandidates || !usable(c, f.Ufrag):
			f.Skipped++
		default:
			kept = append(kept, c)
		}
	}
	f.Candidates = kept
}

// mended corrects what Eyevinn's client writes: component 0, where ICE counts from 1, and IPv6 addresses in brackets (RFC 8839
// section 5.1 has neither).
func mended(candidate string) string {
	foundation, rest, _ := strings.Cut(candidate, " ")
	if of, ok := strings.CutPrefix(rest, "0 "); ok {
		rest = "1 " + of
	}
	return foundation + " " + strings.NewReplacer("[", "", "]", "").Replace(rest)
}

// usable reports whether a candidate can be reached over UDP and belongs to the generation of ufrag.
func usable(candidate, ufrag string) bool {
	c, err := ice.UnmarshalCandidate(candidate)
	if err != nil || !c.NetworkType().IsUDP() || c.Component() != ice.ComponentRTP || c.Port() < 1 {
		return false
	}
	if of, ok := c.GetExtension("ufrag"); ok && ufrag != "" && of.Value != ufrag {
		return false
	}
	addr, err := netip.ParseAddr(c.Address())
	return err == nil && !addr.IsUnspecified() && !addr.IsMulticast()
}

// String writes the fragment as RFC 8840 section 4.4 has it, lines ended by CRLF.
func (f Fragment) String() string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			b.WriteString("a=" + key + ":" + value + "\r\n")
		}
	}
	if f.Lite {
		b.WriteString("a=ice-lite\r\n")
	}
	line("ice-options", f.Options)
	line("ice-pacing", f.Pacing)
	line("group", f.Group)
	if m := mediaLine(f.Media); m != "" {
		b.WriteString(m + "\r\n")
	}
	line("mid", f.Mid)
	line("ice-ufrag", f.Ufrag)
	line("ice-pwd", f.Pwd)
	for _, c := range f.Candidates {
		b.WriteString("a=" + c + "\r\n")
	}
	if f.End {
		b.WriteString("a=end-of-candidates\r\n")
	}
	return b.String()
}

// mediaLine is the m-line of a section in a fragment; empty for a medium we do not know.
func mediaLine(media string) string {
	switch media {
	case "audio", "video":
		return "m=" + media + " 9 UDP/TLS/RTP/SAVPF 0"
	case "application":
		return "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
	}
	return ""
}
