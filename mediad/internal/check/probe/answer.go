package probe

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/sdp/v3"
)

// Answer is a server's description, as far as the checklist speaks of it.
type Answer struct {
	Bundle  []string // mids of a=group:BUNDLE
	Lite    bool     // a=ice-lite
	Options string   // a=ice-options
	Pacing  string   // a=ice-pacing
	Media   []Media
}

// Media is one m-section. What stands at the session level counts for every section that does not say otherwise.
type Media struct {
	Kind, Mid   string
	Direction   string
	Setup       string
	Ufrag, Pwd  string
	Fingerprint string
	Msid        string   // the stream's name
	Rejected    bool     // port 0, and not bundle-only
	Mux         bool     // a=rtcp-mux
	MuxOnly     bool     // a=rtcp-mux-only
	Candidates  []string // values of a=candidate
	Codecs      []string // names of a=rtpmap in the order of the m-line
	Feedback    []string // a=rtcp-fb without its payload type
	Extensions  []string // URIs of a=extmap
	RidsRecv    []string // names of a=rid with direction recv
	Simulcast   string   // value of a=simulcast
}

// ErrSDP says that a text is no session description with sections.
var ErrSDP = errors.New("not a session description with m-sections")

// ReadAnswer parses a description.
func ReadAnswer(text string) (*Answer, error) {
	var d sdp.SessionDescription
	if d.UnmarshalString(text) != nil || len(d.MediaDescriptions) == 0 {
		return nil, ErrSDP
	}
	a := &Answer{}
	group, _ := d.Attribute(sdp.AttrKeyGroup)
	if mids, ok := strings.CutPrefix(group, "BUNDLE"); ok {
		a.Bundle = strings.Fields(mids)
	}
	for _, m := range d.MediaDescriptions {
		a.Media = append(a.Media, readMedia(&d, m))
		a.transport(m.Attributes)
	}
	a.transport(d.Attributes)
	return a, nil
}

// transport takes what the sections share of the ICE agent.
func (a *Answer) transport(attributes []sdp.Attribute) {
	for _, attr := range attributes {
		switch attr.Key {
		case sdp.AttrKeyICELite:
			a.Lite = true
		case sdp.AttrKeyICEOptions:
			a.Options = strings.TrimSpace(attr.Value)
		case "ice-pacing":
			a.Pacing = strings.TrimSpace(attr.Value)
		}
	}
}

func readMedia(d *sdp.SessionDescription, from *sdp.MediaDescription) Media {
	m := Media{Kind: from.MediaName.Media, Direction: "sendrecv", Codecs: make([]string, len(from.MediaName.Formats))}
	bundleOnly := false
	for _, attributes := range [][]sdp.Attribute{d.Attributes, from.Attributes} {
		for _, attr := range attributes {
			value := strings.TrimSpace(attr.Value)
			switch attr.Key {
			case "sendrecv", "sendonly", "recvonly", "inactive":
				m.Direction = attr.Key
			case sdp.AttrKeyConnectionSetup:
				m.Setup = value
			case "ice-ufrag":
				m.Ufrag = value
			case "ice-pwd":
				m.Pwd = value
			case "fingerprint":
				m.Fingerprint = strings.ToLower(value)
			}
		}
	}
	for _, attr := range from.Attributes {
		value := strings.TrimSpace(attr.Value)
		first, rest, _ := strings.Cut(value, " ")
		switch attr.Key {
		case sdp.AttrKeyMID:
			m.Mid = value
		case sdp.AttrKeyMsid:
			m.Msid = first
		case sdp.AttrKeyRTCPMux:
			m.Mux = true
		case "rtcp-mux-only":
			m.MuxOnly = true
		case "bundle-only":
			bundleOnly = true
		case sdp.AttrKeyCandidate:
			m.Candidates = append(m.Candidates, value)
		case "rtpmap":
			if i := slices.Index(from.MediaName.Formats, first); i >= 0 {
				m.Codecs[i], _, _ = strings.Cut(rest, "/")
			}
		case "rtcp-fb":
			m.Feedback = append(m.Feedback, rest)
		case "extmap":
			uri, _, _ := strings.Cut(rest, " ")
			m.Extensions = append(m.Extensions, uri)
		case "rid":
			if strings.HasPrefix(rest, "recv") {
				m.RidsRecv = append(m.RidsRecv, first)
			}
		case "simulcast":
			m.Simulcast = value
		}
	}
	m.Rejected = from.MediaName.Port.Value == 0 && !bundleOnly
	return m
}

// Sections lists kinds and mids, to be compared with those of an offer.
func (a *Answer) Sections() (list []string) {
	for _, m := range a.Media {
		list = append(list, m.Kind+" "+m.Mid)
	}
	return list
}

// Any reports whether a section fulfils f.
func (a *Answer) Any(f func(Media) bool) bool { return slices.ContainsFunc(a.Media, f) }

// Rejects reports whether a section is refused with port 0.
func (a *Answer) Rejects() bool { return a.Any(func(m Media) bool { return m.Rejected }) }

// Each reports whether all sections have a value, and returns the values seen, each once.
func (a *Answer) Each(f func(Media) string) (values []string) {
	for _, m := range a.Media {
		if v := f(m); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values
}

// Hosts lists the addresses of the candidates that can be reached over UDP, in their order, each once.
func (a *Answer) Hosts() (addrs []netip.AddrPort) {
	for _, m := range a.Media {
		addrs = append(addrs, Addresses(m.Candidates)...)
	}
	var once []netip.AddrPort
	for _, addr := range addrs {
		if !slices.Contains(once, addr) {
			once = append(once, addr)
		}
	}
	return once
}

// Addresses lists where candidates can be reached over UDP; the others, names among them, are left out.
func Addresses(candidates []string) (addrs []netip.AddrPort) {
	for _, text := range candidates {
		c, err := ice.UnmarshalCandidate(text)
		if err != nil || !c.NetworkType().IsUDP() || c.Component() != ice.ComponentRTP || c.Port() < 1 || c.Port() > 65535 {
			continue
		}
		if ip, err := netip.ParseAddr(c.Address()); err == nil {
			addrs = append(addrs, netip.AddrPortFrom(ip, uint16(c.Port()))) //nolint:gosec // just checked
		}
	}
	return addrs
}

// FirstIsUDPHost reports whether the first candidate is of UDP and of type host.
func (a *Answer) FirstIsUDPHost() bool {
	for _, m := range a.Media {
		if len(m.Candidates) > 0 {
			f := strings.Fields(m.Candidates[0])
			return len(f) > 7 && strings.EqualFold(f[2], "udp") && f[6] == "typ" && f[7] == "host"
		}
	}
	return false
}

// SimulcastRecv lists the rids of a=simulcast:recv, alternatives by their first (RFC 8853 section 5.2).
func (m Media) SimulcastRecv() (rids []string) {
	f := strings.Fields(m.Simulcast)
	for i := 0; i+1 < len(f); i += 2 {
		if f[i] != "recv" {
			continue
		}
		for s := range strings.SplitSeq(f[i+1], ";") {
			rid, _, _ := strings.Cut(s, ",")
			if rid = strings.TrimPrefix(rid, "~"); rid != "" {
				rids = append(rids, rid)
			}
		}
	}
	return rids
}

// Candidate writes a host candidate.
func Candidate(addr netip.AddrPort, foundation int) string {
	return "candidate:" + strconv.Itoa(foundation) + " 1 udp 2122260223 " + addr.Addr().String() + " " + strconv.Itoa(int(addr.Port())) + " typ host"
}
