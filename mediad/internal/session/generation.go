package session

import (
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

// PatchRequest is a PATCH of a session: its fragment and what it says of the state it is meant for.
type PatchRequest struct {
	Fragment sdpfrag.Fragment
	IfMatch  string // the header; several are joined by commas. Empty: there is none
	Strict   bool   // refuse one without If-Match (RFC 9725 section 4.3.1); many clients send none
}

// generation is what a session knows of its present ICE session and of those before. The session's goroutine calls settle;
// requests call the others.
type generation struct {
	mu         sync.Mutex // guards what follows
	tag        string     // entity tag: our ufrag, which changes with each restart
	remote     string     // the client's ufrag
	past       []string   // the client's ufrags before, the latest last
	candidates map[string]bool
}

// settle takes the state of pc in, after an offer of the client's was answered, and returns the entity tag, without quotes.
func (g *generation) settle(pc *webrtc.PeerConnection) string {
	var ours, theirs sdp.SessionDescription
	if l, r := pc.LocalDescription(), pc.RemoteDescription(); l == nil || r == nil || ours.UnmarshalString(l.SDP) != nil ||
		theirs.UnmarshalString(r.SDP) != nil {
		return "" // not after an answer
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tag = lookup(&ours, "ice-ufrag")
	remote := lookup(&theirs, "ice-ufrag")
	if remote == g.remote {
		return g.tag
	}
	if g.remote != "" {
		g.past = append(g.past, g.remote)
		g.past = g.past[max(0, len(g.past)-maxPast):]
	}
	g.remote, g.candidates = remote, map[string]bool{}
	for _, m := range theirs.MediaDescriptions {
		for _, a := range m.Attributes {
			if a.IsICECandidate() {
				g.candidates["candidate:"+a.Value] = true
			}
		}
	}
	return g.tag
}

// judge decides on a PATCH (RFC 9725 section 4.3): whether it is an ICE restart, else which candidates it brings. A fragment of an
// earlier generation that overtook nothing but came late never restarts: it has no effect.
func (g *generation) judge(r PatchRequest) (restart bool, candidates []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := r.Fragment
	switch {
	case r.IfMatch == "" && r.Strict:
		return false, nil, apierr.New(apierr.NeedsMatch, "send If-Match with the ETag of the session, or * to restart ICE")
	case r.IfMatch != "" && !matches(r.IfMatch, g.tag):
		return false, nil, stale()
	case !f.Restarts(g.remote):
		return false, g.freshLocked(f.Candidates), nil
	case slices.Contains(g.past, f.Ufrag):
		if r.IfMatch != "" {
			return false, nil, stale()
		}
		return false, nil, nil
	case f.Pwd == "":
		return false, nil, apierr.New(apierr.BadSDP, "a new ice-ufrag needs its ice-pwd")
	}
	return true, nil, nil
}

// freshLocked keeps the candidates that are new, as long as the generation may have more; a peer with more than that is probing.
func (g *generation) freshLocked(candidates []string) (fresh []string) {
	for _, c := range candidates {
		if !g.candidates[c] && len(g.candidates) < peer.MaxCandidates {
			g.candidates[c] = true
			fresh = append(fresh, c)
		}
	}
	return fresh
}

// matches reads an If-Match: a list of entity tags or an asterisk, which RFC 9725 section 4.3.3 shows in quotes.
func matches(header, tag string) bool {
	for item := range strings.SplitSeq(header, ",") {
		switch strings.TrimSpace(item) {
		case "*", `"*"`, `"` + tag + `"`:
			return true
		}
	}
	return false
}

func stale() error {
	return apierr.New(apierr.Precondition, "this is for an earlier ICE session; send what belongs to the present one")
}
