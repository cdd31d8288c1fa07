package peer

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer/codecs"
	"weever/shared/apierr"
	"weever/shared/room"
)

// Limits of an offer. Whoever needs more is not a browser.
const (
	maxSections = 64
	maxSent     = 16  // audio and video sections that a publisher sends on
	maxSources  = 32  // SSRCs of a section
	maxFmtp     = 512 // bytes of a line; it is copied into records and to every viewer
	// MaxCandidates is how many candidates a peer may bring to one ICE session, in the offer and by trickle together.
	MaxCandidates = 32
)

// token bounds what we repeat of an offer in other places: mids in our SDP, rids in bus subjects.
var token = regexp.MustCompile(`^[A-Za-z0-9_-]{1,16}$`)

// Section is one audio or video m-line of an offer.
type Section struct {
	Mid  string
	Kind webrtc.RTPCodecType
	Rids []string // simulcast layers, in the order of a=simulcast
	Off  bool     // sends nothing any more: possible in a renegotiation only

	// Sources has the SSRCs that the section declares, if any (RFC 5576): of media 0, of retransmissions the SSRC of what is sent again.
	Sources map[uint32]uint32
}

// Offer is a validated offer.
type Offer struct {
	Role     room.Role
	SDP      string // what pion is given: the client's text, reduced to what is ours to answer
	Data     bool   // has an m=application section
	Sections []Section

	dtlsPassive bool
	mids        []string // of all sections, in their order
	dataMid     string
}

// ParseOffer validates an offer for a role. Malformed text is apierr.BadSDP, an offer that can be read but not served as a whole
// is apierr.Unacceptable: it is never answered in part (RFC 9725 section 4.4.3).
func ParseOffer(role room.Role, text string) (*Offer, error) { return parse(role, text, nil) }

// ParseRenegotiation is ParseOffer for a later offer of a publisher. known has the mids of the offer before, each true while its
// section was in use, false once it had port 0. Known sections may be Off. None may leave its place among them: m-lines are
// never removed (RFC 8829 section 5.2.2), but one with port 0 may be taken over under a new mid. Candidates are left out of SDP.
func ParseRenegotiation(text string, known map[string]bool) (*Offer, error) {
	if known == nil {
		known = map[string]bool{}
	}
	o, err := parse(room.Pub, text, known)
	if err != nil {
		return nil, err
	}
	if err := o.continues(known); err != nil {
		return nil, err
	}
	return o, nil
}

// continues checks that the sections known are where they were.
func (o *Offer) continues(known map[string]bool) error {
	gone := apierr.New(apierr.Unacceptable, "the offer must keep every section of the one before in its place; switch off what is not needed")
	mids := o.mids[:0:0]
	for _, mid := range o.mids {
		if _, was := known[mid]; was || mid != o.dataMid {
			mids = append(mids, mid)
		}
	}
	if len(mids) < len(known) {
		return gone
	}
	for i, mid := range mids {
		if _, was := known[mid]; was && i >= len(known) {
			return gone
		}
	}
	for mid, used := range known {
		if used && !slices.Contains(mids, mid) {
			return gone
		}
	}
	return nil
}

// parse does the work of both; known is nil for a first offer.
func parse(role room.Role, text string, known map[string]bool) (*Offer, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return nil, badSDP(err, "the body is not a session description (RFC 8866)")
	}
	if len(desc.MediaDescriptions) == 0 {
		return nil, apierr.New(apierr.BadSDP, "the offer has no m= section")
	}
	if len(desc.MediaDescriptions) > maxSections {
		return nil, apierr.New(apierr.Unacceptable, "the offer has more than %d m= sections", maxSections)
	}
	o := &Offer{Role: role}
	if err := o.transport(&desc); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	candidates := 0
	if known != nil {
		candidates = MaxCandidates // the session has what it needs
	}
	desc.Attributes = capCandidates(desc.Attributes, &candidates)
	for i, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		if !token.MatchString(mid) || seen[mid] {
			return nil, apierr.New(apierr.BadSDP, "m= section %d needs its own a=mid of 1 to 16 letters, digits, _ or -", i)
		}
		seen[mid] = true
		m.Attributes = capCandidates(m.Attributes, &candidates)
		_, again := known[mid]
		if err := o.section(m, mid, again); err != nil {
			return nil, err
		}
	}
	if err := o.enough(); err != nil {
		return nil, err
	}
	if err := checkBundle(&desc, known); err != nil {
		return nil, err
	}
	b, err := desc.Marshal()
	if err != nil {
		return nil, badSDP(err, "the offer cannot be written back")
	}
	o.SDP = string(b)
	return o, nil
}

// transport checks what the one transport needs: ICE credentials, a DTLS fingerprint and role. They stand at the section that the
// bundle is tagged with; the others share them, and those that are bundle-only have none of their own (RFC 8829 section 5.2.1).
func (o *Offer) transport(desc *sdp.SessionDescription) error {
	m := tagged(desc)
	mid, _ := m.Attribute(sdp.AttrKeyMID)
	if !token.MatchString(mid) {
		mid = "the first"
	}
	for _, key := range []string{"ice-ufrag", "ice-pwd", "fingerprint"} {
		_, own := m.Attribute(key)
		if _, common := desc.Attribute(key); !own && !common {
			return apierr.New(apierr.BadSDP, "m= section %s lacks a=%s", mid, key)
		}
	}
	setup, ok := m.Attribute("setup")
	if !ok {
		setup, _ = desc.Attribute("setup")
	}
	switch setup {
	case "actpass", "active":
	case "passive":
		o.dtlsPassive = true
	default:
		return apierr.New(apierr.BadSDP, "m= section %s needs a=setup:actpass, active or passive", mid)
	}
	if _, ok := m.Attribute(sdp.AttrKeyRTCPMux); !ok && m.MediaName.Media != "application" {
		return apierr.New(apierr.Unacceptable, "m= section %s needs a=rtcp-mux", mid)
	}
	return nil
}

// tagged is the section that carries the transport of the bundle (RFC 9143 section 7.1): the first in its group.
func tagged(desc *sdp.SessionDescription) *sdp.MediaDescription {
	group, _ := desc.Attribute(sdp.AttrKeyGroup)
	if mids := strings.Fields(strings.TrimPrefix(group, "BUNDLE")); len(mids) > 0 {
		for _, m := range desc.MediaDescriptions {
			if mid, _ := m.Attribute(sdp.AttrKeyMID); mid == mids[0] {
				return m
			}
		}
	}
	return desc.MediaDescriptions[0]
}

// enough bounds what a publisher sends.
func (o *Offer) enough() error {
	n := 0
	for _, s := range o.Sections {
		if !s.Off {
			n++
		}
	}
	if o.Role == room.Pub && n > maxSent {
		return apierr.New(apierr.Unacceptable, "a publisher may send at most %d audio and video sections", maxSent)
	}
	return nil
}

// section takes in one m-line. It may rewrite m: a player's sendrecv means that it wants to receive.
// again says that the session knows it already.
func (o *Offer) section(m *sdp.MediaDescription, mid string, again bool) error {
	o.mids = append(o.mids, mid)
	if m.MediaName.Media == "application" {
		if o.Data {
			return apierr.New(apierr.Unacceptable, "the offer has two m=application sections; one data channel connection is enough")
		}
		o.Data, o.dataMid = true, mid
		return nil
	}
	kind := webrtc.NewRTPCodecType(m.MediaName.Media)
	if kind == 0 {
		return apierr.New(apierr.Unacceptable, "section %s is neither audio, video nor application", mid)
	}
	if again && isOff(m) {
		o.Sections = append(o.Sections, Section{Mid: mid, Kind: kind, Off: true})
		return nil
	}
	if rejected(m) {
		return apierr.New(apierr.Unacceptable, "section %s is switched off (port 0); leave it out of the offer", mid)
	}
	if err := o.direction(m, mid); err != nil {
		return err
	}
	if !knownCodec(m) {
		return apierr.New(apierr.Unacceptable, "section %s has no codec that this server knows: Opus, VP8, VP9, H264, H265 or AV1", mid)
	}
	for _, a := range m.Attributes {
		if a.Key == "fmtp" && len(a.Value) > maxFmtp {
			return apierr.New(apierr.Unacceptable, "section %s has an a=fmtp of more than %d bytes", mid, maxFmtp)
		}
	}
	rids, err := simulcast(m, mid)
	if err != nil {
		return err
	}
	o.Sections = append(o.Sections, Section{Mid: mid, Kind: kind, Rids: rids, Sources: sources(m)})
	return nil
}

// direction refuses sections that go the wrong way (RFC 9725 section 4.2, WHEP section 4.3.5).
func (o *Offer) direction(m *sdp.MediaDescription, mid string) error {
	dir := directionOf(m)
	wanted := "sendonly"
	if o.Role == room.Sub {
		wanted = "recvonly"
	}
	if dir != wanted && dir != "sendrecv" {
		return apierr.New(apierr.Unacceptable, "section %s is a=%s; offer a=%s here", mid, dir, wanted)
	}
	kept := m.Attributes[:0]
	for _, a := range m.Attributes {
		if a.Key != dir {
			kept = append(kept, a)
		}
	}
	m.Attributes = append(kept, sdp.NewPropertyAttribute(wanted))
	return nil
}

// directionOf reads a section's direction.
func directionOf(m *sdp.MediaDescription) string {
	dir := "sendrecv" // RFC 8866 section 6.7: the default
	for _, a := range m.Attributes {
		switch a.Key {
		case "sendrecv", "sendonly", "recvonly", "inactive":
			dir = a.Key
		}
	}
	return dir
}

// rejected reports whether the section is switched off for good.
func rejected(m *sdp.MediaDescription) bool {
	_, bundled := m.Attribute("bundle-only")
	return m.MediaName.Port.Value == 0 && !bundled
}

// isOff reports whether a publisher sends nothing on the section.
func isOff(m *sdp.MediaDescription) bool {
	dir := directionOf(m)
	return rejected(m) || dir == "inactive" || dir == "recvonly"
}

// checkBundle insists on one transport for all (RFC 9725 section 4.4.1); a section known that is switched off has none.
func checkBundle(desc *sdp.SessionDescription, known map[string]bool) error {
	if len(desc.MediaDescriptions) == 1 {
		return nil
	}
	group, _ := desc.Attribute(sdp.AttrKeyGroup)
	bundled := map[string]bool{}
	for _, mid := range strings.Fields(strings.TrimPrefix(group, "BUNDLE")) {
		bundled[mid] = true
	}
	for _, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		if _, again := known[mid]; !bundled[mid] && (!again || !rejected(m)) {
			return apierr.New(apierr.Unacceptable, "all sections must be in one a=group:BUNDLE")
		}
	}
	return nil
}

// knownCodec reports whether the section offers a codec that the media engine would negotiate.
func knownCodec(m *sdp.MediaDescription) bool {
	for _, a := range m.Attributes {
		if a.Key != "rtpmap" {
			continue
		}
		_, enc, _ := strings.Cut(a.Value, " ")
		name, _, _ := strings.Cut(enc, "/")
		if codecs.Known(m.MediaName.Media + "/" + name) {
			return true
		}
	}
	return false
}

// simulcast lists the rids of a=simulcast:send, in its order (RFC 8853 section 5.2). Alternatives are taken by their first.
func simulcast(m *sdp.MediaDescription, mid string) ([]string, error) {
	value, ok := m.Attribute("simulcast")
	if !ok {
		return nil, nil
	}
	_, streams, _ := strings.Cut(value, "send ")
	streams, _, _ = strings.Cut(streams, " ")
	var rids []string
	for s := range strings.SplitSeq(streams, ";") {
		rid, _, _ := strings.Cut(s, ",")
		rid = strings.TrimPrefix(rid, "~")
		if rid == "" {
			continue
		}
		// "_" stands for no layer in the names of streams.
		if !token.MatchString(rid) || rid == "_" || slices.Contains(rids, rid) || len(rids) == 4 {
			return nil, apierr.New(apierr.Unacceptable, "section %s: at most 4 simulcast rids, each once, of 1 to 16 letters, digits, _ or -", mid)
		}
		rids = append(rids, rid)
	}
	return rids, nil
}

// sources reads a=ssrc and a=ssrc-group:FID (RFC 5576 sections 4.1 and 4.2, RFC 4588 section 8.1). What it cannot read it leaves out.
func sources(m *sdp.MediaDescription) map[uint32]uint32 {
	out := map[uint32]uint32{}
	for _, a := range m.Attributes {
		words := strings.Fields(a.Value)
		if len(out) >= maxSources || len(words) == 0 {
			continue
		}
		switch {
		case a.Key == "ssrc-group" && words[0] == "FID" && len(words) == 3:
			media, err := strconv.ParseUint(words[1], 10, 32)
			repeats, err2 := strconv.ParseUint(words[2], 10, 32)
			if err == nil && err2 == nil {
				out[uint32(repeats)] = uint32(media)
			}
		case a.Key == sdp.AttrKeySSRC:
			ssrc, err := strconv.ParseUint(words[0], 10, 32)
			if _, known := out[uint32(ssrc)]; err == nil && !known {
				out[uint32(ssrc)] = 0
			}
		}
	}
	return out
}

// capCandidates drops what is over the limit; a peer with more than that is probing.
func capCandidates(attrs []sdp.Attribute, n *int) []sdp.Attribute {
	kept := attrs[:0]
	for _, a := range attrs {
		if a.IsICECandidate() {
			if *n++; *n > MaxCandidates {
				continue
			}
		}
		kept = append(kept, a)
	}
	return kept
}

func badSDP(cause error, format string, args ...any) error {
	return apierr.Wrap(apierr.BadSDP, cause, "%s", fmt.Sprintf(format, args...))
}
