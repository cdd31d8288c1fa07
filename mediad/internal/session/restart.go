package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/apierr"
)

// restartCall is an ICE restart on its way from an HTTP request to the goroutine that owns the connection.
type restartCall struct {
	ctx   context.Context //nolint:containedctx // it is the request's, and the call does not outlive it
	req   PatchRequest
	frag  sdpfrag.Fragment // the request's, reduced to what may be applied
	ice   *generation
	reply chan restartResult // capacity 1
}

type restartResult struct {
	frag sdpfrag.Fragment
	err  error
}

// patch serves a PATCH for either kind of session: candidates are added here and now, new credentials are handed to the session's
// goroutine through restarts. session is the session's context.
func (g *generation) patch(ctx, session context.Context, pc *webrtc.PeerConnection, r PatchRequest, restarts chan<- restartCall) (sdpfrag.Fragment, error) {
	restart, candidates, err := g.judge(r)
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	if !restart {
		for _, c := range candidates {
			// Candidates that cannot be used are skipped in silence (RFC 9725 section 4.3.2).
			_ = pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c})
		}
		return sdpfrag.Fragment{}, nil
	}
	frag := r.Fragment
	frag.Candidates = frag.Candidates[:min(len(frag.Candidates), peer.MaxCandidates)]
	call := restartCall{ctx, r, frag, g, make(chan restartResult, 1)}
	select {
	case restarts <- call:
	case <-session.Done():
		return sdpfrag.Fragment{}, apierr.New(apierr.NoSession, "the session has ended; start again with a POST")
	case <-ctx.Done():
		return sdpfrag.Fragment{}, apierr.Wrap(apierr.Unavailable, ctx.Err(), "the session is busy; try again")
	}
	select {
	case r := <-call.reply:
		return r.frag, r.err
	case <-ctx.Done():
		return sdpfrag.Fragment{}, apierr.Wrap(apierr.Unavailable, ctx.Err(), "the session is busy; try again")
	}
}

// due reports whether the restart is still to be made: another may have come before it since the request was judged.
func (c restartCall) due() (bool, error) {
	restart, _, err := c.ice.judge(c.req)
	return restart, err
}

// apply gives pc a restart offer that was made from the call's fragment and returns the fragment that answers it.
func (c restartCall) apply(pc *webrtc.PeerConnection, offer string) (sdpfrag.Fragment, error) {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return sdpfrag.Fragment{}, apierr.Wrap(apierr.Unacceptable, err, "the ICE restart could not be applied")
	}
	// From here on the client's request must not end it halfway: the generation has changed.
	text, err := peer.Answer(context.WithoutCancel(c.ctx), pc)
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	c.ice.settle(pc)
	return sdpfrag.FromSDP(text)
}

// restart replays the publisher's last offer with the new credentials: for a publisher every offer was the client's.
func (p *publisher) restart(call restartCall) restartResult {
	if due, err := call.due(); !due {
		return restartResult{err: err}
	}
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(p.pc.RemoteDescription().SDP); err != nil {
		return restartResult{err: fmt.Errorf("reading the last offer: %w", err)}
	}
	replaceICE(&desc, call.frag)
	b, err := desc.Marshal()
	if err != nil {
		return restartResult{err: fmt.Errorf("writing the restart offer: %w", err)}
	}
	frag, err := call.apply(p.pc, string(b))
	return restartResult{frag, err}
}

// replaceICE swaps credentials and candidates of a description. Old candidates are dropped (RFC 9725 section 4.3.3).
func replaceICE(desc *sdp.SessionDescription, f sdpfrag.Fragment) {
	desc.Attributes = withoutICE(desc.Attributes)
	for i, m := range desc.MediaDescriptions {
		m.Attributes = append(withoutICE(m.Attributes), sdp.NewAttribute("ice-ufrag", f.Ufrag), sdp.NewAttribute("ice-pwd", f.Pwd))
		if i > 0 {
			continue // candidates belong to the first bundled section
		}
		for _, c := range f.Candidates {
			m.Attributes = append(m.Attributes, sdp.NewAttribute("candidate", strings.TrimPrefix(c, "candidate:")))
		}
	}
}

func withoutICE(attrs []sdp.Attribute) []sdp.Attribute {
	kept := make([]sdp.Attribute, 0, len(attrs))
	for _, a := range attrs {
		switch {
		case a.IsICECandidate(), a.Key == "ice-ufrag", a.Key == "ice-pwd", a.Key == "end-of-candidates":
		default:
			kept = append(kept, a)
		}
	}
	return kept
}
