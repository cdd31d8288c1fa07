package icesession

import (
	"fmt"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/sdpfrag"
)

// This file writes the descriptions that a viewer would have written, out of our own: for ICE restarts, where the client sends
// nothing but new credentials (RFC 9725 section 4.3.3), and for rounds that have to be closed without its answer.

// MirrorAnswer accepts our unanswered offer as the client would, on the present transport.
func (s *Session) MirrorAnswer() (string, error) {
	return mirror(s.pc.PendingLocalDescription(), s.pc.CurrentRemoteDescription(), func(dir string) string {
		if dir == "sendonly" {
			return "recvonly"
		}
		return "inactive"
	}, "active", nil)
}

// MirrorOffer offers every section as it is, with the fragment's transport, between rounds. Parked sections say recvonly too: at an
// inactive one in an offer pion would stop the transceiver for good.
func (s *Session) MirrorOffer(f sdpfrag.Fragment) (string, error) {
	return mirror(s.pc.CurrentLocalDescription(), s.pc.CurrentRemoteDescription(), func(string) string { return "recvonly" }, "actpass", &f)
}

func mirror(ours, theirs *webrtc.SessionDescription, direction func(string) string, setup string, f *sdpfrag.Fragment) (string, error) {
	var desc, remote sdp.SessionDescription
	if ours == nil || theirs == nil {
		return "", fmt.Errorf("no description to mirror")
	}
	if err := desc.UnmarshalString(ours.SDP); err != nil {
		return "", fmt.Errorf("reading our description: %w", err)
	}
	if err := remote.UnmarshalString(theirs.SDP); err != nil {
		return "", fmt.Errorf("reading the client's description: %w", err)
	}
	fingerprint := lookup(&remote, "fingerprint")
	desc.Attributes = without(withoutICE(desc.Attributes), "fingerprint", "setup", "msid-semantic")
	for _, m := range desc.MediaDescriptions {
		dir := ""
		for _, a := range m.Attributes {
			if a.Key == "sendonly" || a.Key == "inactive" || a.Key == "recvonly" || a.Key == "sendrecv" {
				dir = a.Key
			}
		}
		m.Attributes = without(withoutICE(m.Attributes),
			"fingerprint", "setup", "msid", "ssrc", "ssrc-group", "sendonly", "inactive", "recvonly", "sendrecv")
		m.Attributes = append(m.Attributes, sdp.NewAttribute("fingerprint", fingerprint), sdp.NewAttribute("setup", setup))
		if m.MediaName.Media != "application" {
			m.Attributes = append(m.Attributes, sdp.NewPropertyAttribute(direction(dir)))
		}
	}
	if f == nil {
		f = &sdpfrag.Fragment{Ufrag: lookup(&remote, "ice-ufrag"), Pwd: lookup(&remote, "ice-pwd")}
	}
	replaceICE(&desc, *f)
	b, err := desc.Marshal()
	return string(b), err
}

// CompareAnswer looks at an answer of the client's: whether it was written on the present ICE session, and whether it says, section
// by section, what an answer to our open offer would. Answers written before an ICE restart carry the old credentials.
func (s *Session) CompareAnswer(text string) (current, fits bool) {
	ours, theirs := s.pc.PendingLocalDescription(), s.pc.CurrentRemoteDescription()
	var offer, answer, last sdp.SessionDescription
	if ours == nil || theirs == nil || offer.UnmarshalString(ours.SDP) != nil || last.UnmarshalString(theirs.SDP) != nil ||
		answer.UnmarshalString(text) != nil {
		return true, false // for pion to judge
	}
	current = lookup(&answer, "ice-ufrag") == lookup(&last, "ice-ufrag")
	if len(answer.MediaDescriptions) != len(offer.MediaDescriptions) {
		return current, false
	}
	for i, m := range offer.MediaDescriptions {
		_, sends := m.Attribute("msid")
		_, receives := answer.MediaDescriptions[i].Attribute("recvonly")
		if sends != receives && m.MediaName.Media != "application" {
			return current, false
		}
	}
	return current, true
}

// lookup finds an attribute of a bundled description, wherever it stands. What a rejected section says, whose port is 0, means nothing
// (RFC 3264 section 6), unless it has no port because it is in the bundle alone (RFC 8843 section 6).
func lookup(desc *sdp.SessionDescription, key string) string {
	for _, m := range desc.MediaDescriptions {
		if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value == 0 && !bundled {
			continue
		}
		if v, ok := m.Attribute(key); ok {
			return v
		}
	}
	v, _ := desc.Attribute(key)
	return v
}

func without(attrs []sdp.Attribute, keys ...string) []sdp.Attribute {
	kept := attrs[:0]
next:
	for _, a := range attrs {
		for _, k := range keys {
			if a.Key == k {
				continue next
			}
		}
		kept = append(kept, a)
	}
	return kept
}
