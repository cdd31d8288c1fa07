package icesession

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/apierr"
)

// Restart is an ICE restart on its way from an HTTP request to the goroutine that owns the connection.
type Restart struct {
	ctx   context.Context //nolint:containedctx // it is the request's, and the restart does not outlive it
	req   Request
	ice   *Session
	reply chan result // capacity 1
}

type result struct {
	frag sdpfrag.Fragment
	err  error
}

// patience is how long a request waits for the session's goroutine, which may itself wait for Redis.
const patience = 2 * time.Second

// Restarts delivers the restarts to be served. It is never closed.
func (s *Session) Restarts() <-chan *Restart { return s.restarts }

// Patch serves a PATCH: candidates are added here and now and the result is empty, unless the request repeats the last restart; new
// credentials are handed to the session's goroutine through Restarts, and the result is the fragment to answer with. It waits for
// that goroutine for two seconds at most. A restart that is refused leaves the session as it was.
func (s *Session) Patch(ctx context.Context, r Request) (sdpfrag.Fragment, error) {
	v, err := s.judge(r)
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	if !v.restart {
		s.add(v.candidates)
		return v.reply, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	call := &Restart{ctx, r, s, make(chan result, 1)}
	busy := apierr.New(apierr.Unavailable, "the session is busy; try again").After(time.Second)
	select {
	case s.restarts <- call:
	case <-s.life.Done():
		return sdpfrag.Fragment{}, apierr.New(apierr.NoSession, "the session has ended; start again with a POST")
	case <-ctx.Done():
		return sdpfrag.Fragment{}, busy
	}
	select {
	case r := <-call.reply:
		return r.frag, r.err
	case <-ctx.Done():
		return sdpfrag.Fragment{}, busy
	}
}

// add gives the connection candidates. Those that cannot be used are skipped in silence (RFC 9725 section 4.3.2).
func (s *Session) add(candidates []string) {
	for _, c := range candidates {
		_ = s.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c})
	}
}

// Serve makes the restart, with the offer that prepare writes as the client would have written it, and hands the outcome to the
// request. prepare is not called when the restart is not due any more: another may have come before it.
func (r *Restart) Serve(prepare func(sdpfrag.Fragment) (offer string, err error)) {
	frag, err := r.serve(prepare)
	r.reply <- result{frag, err}
}

func (r *Restart) serve(prepare func(sdpfrag.Fragment) (string, error)) (sdpfrag.Fragment, error) {
	v, err := r.ice.judge(r.req)
	if err != nil || !v.restart {
		r.ice.add(v.candidates)
		return v.reply, err
	}
	frag := r.req.Fragment
	frag.Candidates = frag.Candidates[:min(len(frag.Candidates), peer.MaxCandidates)]
	offer, err := prepare(frag)
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	return r.apply(offer)
}

// apply gives the connection the restart offer and returns the fragment that answers it.
func (r *Restart) apply(offer string) (sdpfrag.Fragment, error) {
	s := r.ice
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return sdpfrag.Fragment{}, apierr.Wrap(apierr.Unacceptable, err, "the ICE restart could not be applied")
	}
	// From here on the client's request must not end it halfway: the generation has changed, and there is no way back to the old path.
	text, err := peer.Answer(context.WithoutCancel(r.ctx), s.pc)
	var reply sdpfrag.Fragment
	if err == nil {
		reply, err = sdpfrag.FromSDP(text)
	}
	if err != nil {
		s.end(err)
		return sdpfrag.Fragment{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	s.made = restarted{r.req.Fragment, reply}
	return reply, nil
}

// ReplayOffer is the client's last offer with the fragment's transport, for a session whose every offer was the client's.
func (s *Session) ReplayOffer(f sdpfrag.Fragment) (string, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(s.pc.RemoteDescription().SDP); err != nil {
		return "", fmt.Errorf("reading the last offer: %w", err)
	}
	replaceICE(&desc, f)
	b, err := desc.Marshal()
	if err != nil {
		return "", fmt.Errorf("writing the restart offer: %w", err)
	}
	return string(b), nil
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
