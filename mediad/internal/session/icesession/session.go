// Package icesession follows the ICE session beneath one WHIP or WHEP session: its entity tag, its trickled candidates and its
// restarts (RFC 9725 section 4.3).
//
// HTTP requests call Patch. Restarts come out of a channel, and the goroutine that owns the connection serves them; it calls Settle
// whenever it has answered an offer, and ends with the session. The package knows descriptions and no media.
package icesession

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/apierr"
)

// maxPast bounds the user fragments that are remembered of earlier generations; a fragment that is older than that many restarts
// is not on its way any more.
const maxPast = 64

// Request is a PATCH of a session: its fragment and what it says of the state it is meant for.
type Request struct {
	Fragment sdpfrag.Fragment
	IfMatch  string // the header; several are joined by commas. Empty: there is none
	Strict   bool   // refuse one without If-Match (RFC 9725 section 4.3.1); many clients send none
}

// Session is what is known of a connection's present ICE session, a generation, and of those before. Patch may be called by any
// goroutine; all else is for the one that owns the connection.
type Session struct {
	life     context.Context // the session's
	end      context.CancelCauseFunc
	pc       *webrtc.PeerConnection
	restarts chan *Restart

	mu         sync.Mutex // guards what follows
	tag        string     // entity tag: our ufrag, which changes with each restart
	remote     string     // the client's ufrag
	past       []string   // the client's ufrags before, the latest last
	candidates map[string]bool
	made       restarted // how the present generation began
}

// restarted is a restart that was made. The zero value: none was, or the client made it otherwise than by PATCH.
type restarted struct {
	by    sdpfrag.Fragment
	reply sdpfrag.Fragment
}

// New makes the Session of a connection that has no answer yet. life is the context of the session above; end ends it, when a restart
// has broken the connection.
func New(life context.Context, end context.CancelCauseFunc, pc *webrtc.PeerConnection) *Session {
	return &Session{life: life, end: end, pc: pc, restarts: make(chan *Restart)}
}

// Settle takes the state of the connection in, after an offer of the client's was answered, and returns the entity tag, without
// quotes.
func (s *Session) Settle() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settleLocked()
}

func (s *Session) settleLocked() string {
	var ours, theirs sdp.SessionDescription
	if l, r := s.pc.LocalDescription(), s.pc.RemoteDescription(); l == nil || r == nil || ours.UnmarshalString(l.SDP) != nil ||
		theirs.UnmarshalString(r.SDP) != nil {
		return "" // not after an answer
	}
	s.tag = lookup(&ours, "ice-ufrag")
	remote := lookup(&theirs, "ice-ufrag")
	if remote == s.remote {
		return s.tag
	}
	if s.remote != "" {
		s.past = append(s.past, s.remote)
		s.past = s.past[max(0, len(s.past)-maxPast):]
	}
	s.remote, s.candidates, s.made = remote, map[string]bool{}, restarted{}
	for _, m := range theirs.MediaDescriptions {
		for _, a := range m.Attributes {
			if a.IsICECandidate() {
				s.candidates["candidate:"+a.Value] = true
			}
		}
	}
	return s.tag
}

// verdict is what is to be done about a request.
type verdict struct {
	restart    bool
	candidates []string         // to be added
	reply      sdpfrag.Fragment // of the restart that the request repeats; empty: it repeats none
}

// judge decides on a PATCH (RFC 9725 section 4.3): whether it is an ICE restart, else which candidates it brings. A fragment of an
// earlier generation that overtook nothing but came late never restarts: it has no effect.
func (s *Session) judge(r Request) (verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := r.Fragment
	switch {
	case r.IfMatch == "" && r.Strict:
		return verdict{}, apierr.New(apierr.NeedsMatch, "send If-Match with the ETag of the session, or * to restart ICE")
	case r.IfMatch != "" && !matches(r.IfMatch, s.tag):
		return verdict{}, stale()
	case !f.Restarts(s.remote):
		return verdict{candidates: s.freshLocked(f.Candidates), reply: s.repeatedLocked(r)}, nil
	case slices.Contains(s.past, f.Ufrag):
		if r.IfMatch != "" {
			return verdict{}, stale()
		}
		return verdict{}, nil
	case f.Pwd == "":
		return verdict{}, apierr.New(apierr.BadSDP, "a new ice-ufrag needs its ice-pwd")
	}
	return verdict{restart: true}, nil
}

// repeatedLocked gives the reply to a restart that the client asks for again because it lost it; empty when r is mere trickle.
// Trickle carries the generation's credentials, too: it is told from a restart by the tag, and by its candidates.
func (s *Session) repeatedLocked(r Request) sdpfrag.Fragment {
	f, by := r.Fragment, s.made.by
	switch {
	case by.Ufrag == "" || !reflect.DeepEqual(f, by):
	case r.IfMatch == "", asterisk(r.IfMatch):
		return s.made.reply
	}
	return sdpfrag.Fragment{}
}

// freshLocked keeps the candidates that are new, as long as the generation may have more; a peer with more than that is probing.
func (s *Session) freshLocked(candidates []string) (fresh []string) {
	for _, c := range candidates {
		if !s.candidates[c] && len(s.candidates) < peer.MaxCandidates {
			s.candidates[c] = true
			fresh = append(fresh, c)
		}
	}
	return fresh
}

// matches reads an If-Match: a list of entity tags or an asterisk.
func matches(header, tag string) bool { return lists(header, "*", `"*"`, `"`+tag+`"`) }

// asterisk reports whether an If-Match asks for a restart. RFC 9725 section 4.3.3 shows the asterisk in quotes.
func asterisk(header string) bool { return lists(header, "*", `"*"`) }

func lists(header string, anyOf ...string) bool {
	for item := range strings.SplitSeq(header, ",") {
		if slices.Contains(anyOf, strings.TrimSpace(item)) {
			return true
		}
	}
	return false
}

func stale() error {
	return apierr.New(apierr.Precondition, "this is for an earlier ICE session; send what belongs to the present one")
}
