package icesession

import (
	"slices"

	"github.com/pion/sdp/v3"

	"weever/mediad/internal/sdpfrag"
)

// Present is a client's offer as it would have been written on the present ICE session. One that crossed an ICE restart on its way
// carries the credentials of before, and pion would restart ICE once more, back to a path that is gone; it gets the present ones
// instead. Every other offer, and what cannot be read, is returned as it is.
func (s *Session) Present(offer string) string {
	var desc, last sdp.SessionDescription
	if desc.UnmarshalString(offer) != nil {
		return offer
	}
	s.mu.Lock()
	crossed := slices.Contains(s.past, lookup(&desc, "ice-ufrag"))
	s.mu.Unlock()
	theirs := s.pc.RemoteDescription()
	if !crossed || theirs == nil || last.UnmarshalString(theirs.SDP) != nil {
		return offer
	}
	now := sdpfrag.Fragment{Ufrag: lookup(&last, "ice-ufrag"), Pwd: lookup(&last, "ice-pwd")}
	replaceICE(&desc, now)
	b, err := desc.Marshal()
	if err != nil || lookup(&desc, "ice-ufrag") != now.Ufrag { // no section is left that could say so
		return offer
	}
	return string(b)
}
