package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/sdpfrag"
)

// signaling makes the negotiation rounds of one PeerConnection follow each other. Session and its two kinds call it; it starts
// nothing and ends with the PeerConnection.
type signaling struct {
	pc *webrtc.PeerConnection

	mu     sync.Mutex // held for a whole round
	setup  string     // the server's DTLS role, "active" or "passive"; known after the first answer
	rounds int        // completed rounds, POST among them
}

// offer starts the first round. With candidates, it waits until all are gathered.
func (s *signaling) offer(ctx context.Context, withCandidates bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.makeOffer(ctx, &webrtc.OfferOptions{OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: !withCandidates}}, withCandidates)
}

func (s *signaling) makeOffer(ctx context.Context, o *webrtc.OfferOptions, withCandidates bool) (string, error) {
	offer, err := s.pc.CreateOffer(o)
	if err != nil {
		return "", err
	}
	if err := s.pc.SetLocalDescription(offer); err != nil {
		return "", err
	}
	if !withCandidates {
		return offer.SDP, nil
	}
	if err := s.gathered(ctx); err != nil {
		return "", err
	}
	return s.pc.LocalDescription().SDP, nil
}

// gatherLook is how often to look whether all candidates are there.
const gatherLook = 2 * time.Millisecond

// gathered waits for all candidates, after the local description was set. It looks itself: pion takes the handler of its promise
// before it sets the state and calls it after that, and a promise that is made in between is never kept.
func (s *signaling) gathered(ctx context.Context) error {
	look := time.NewTicker(gatherLook)
	defer look.Stop()
	for s.pc.ICEGatheringState() != webrtc.ICEGatheringStateComplete {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("gathering candidates: %w", context.Cause(ctx))
		}
	}
	return nil
}

// accept ends a round that we began with the server's answer.
func (s *signaling) accept(answer string, before func(*sdp.SessionDescription)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applyAnswer(answer, before)
}

func (s *signaling) applyAnswer(answer string, before func(*sdp.SessionDescription)) error {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(answer); err != nil {
		return fmt.Errorf("the server's answer is not SDP: %w", err)
	}
	if s.setup == "" {
		s.setup = setupOf(&d)
	}
	if before != nil {
		before(&d)
	}
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return fmt.Errorf("the server's answer cannot be applied: %w", err)
	}
	s.rounds++
	return nil
}

// answer is a whole round that the server began. before sees the offer just before it takes effect; send takes the answer.
func (s *signaling) answer(offer string, before func(*sdp.SessionDescription), send func(answer string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		return fmt.Errorf("the server's offer is not SDP: %w", err)
	}
	before(&d)
	offer, err := parked(&d)
	if err != nil {
		return fmt.Errorf("the server's offer cannot be written back: %w", err)
	}
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return fmt.Errorf("the server's offer cannot be applied: %w", err)
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("the server's offer cannot be answered: %w", err)
	}
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return err
	}
	s.rounds++
	return send(answer.SDP)
}

// parked is a server's offer as pion is told of it: sections that are inactive, for nobody is on them just now, say recvonly. We have
// nothing to send, so the answer is inactive all the same; but at an inactive one pion would stop a receiver that was not used yet, and
// never start it again.
func parked(d *sdp.SessionDescription) (string, error) {
	for _, m := range d.MediaDescriptions {
		for i, a := range m.Attributes {
			if a.Key == sdp.AttrKeyInactive {
				m.Attributes[i] = sdp.NewPropertyAttribute(sdp.AttrKeyRecvOnly)
			}
		}
	}
	b, err := d.Marshal()
	return string(b), err
}

// restart is an ICE restart by PATCH (RFC 9725 section 4.3.3). exchange carries our fragment to the server and brings its own.
// pion gives up the old path when the offer is made, so a restart that fails leaves no connection.
func (s *signaling) restart(ctx context.Context, exchange func(sdpfrag.Fragment) (sdpfrag.Fragment, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.pc.CurrentRemoteDescription()
	if before == nil {
		return errors.New("ICE restart before the first answer")
	}
	offer, err := s.makeOffer(ctx, &webrtc.OfferOptions{ICERestart: true}, true)
	if err != nil {
		return err
	}
	ours, err := sdpfrag.FromSDP(offer)
	if err != nil {
		return err
	}
	theirs, err := exchange(ours)
	if err != nil {
		return err
	}
	answer, err := restartAnswer(before.SDP, s.setup, theirs)
	if err != nil {
		return err
	}
	return s.applyAnswer(answer, nil)
}

// restartAnswer makes the answer that a server would give to the offer of an ICE restart: its sections as they were, with other
// ICE lines. The last description may have been an offer; setup turns it into an answer.
func restartAnswer(last, setup string, ice sdpfrag.Fragment) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(last); err != nil {
		return "", err
	}
	d.Attributes = withoutICE(d.Attributes)
	for i, m := range d.MediaDescriptions {
		m.Attributes = withoutICE(m.Attributes)
		for j := range m.Attributes {
			if m.Attributes[j].Key == sdp.AttrKeyConnectionSetup {
				m.Attributes[j].Value = setup
			}
		}
		m.WithValueAttribute("ice-ufrag", ice.Ufrag).WithValueAttribute("ice-pwd", ice.Pwd)
		if i > 0 {
			continue
		}
		for _, c := range ice.Candidates {
			m.WithPropertyAttribute(c)
		}
	}
	b, err := d.Marshal()
	return string(b), err
}

func withoutICE(in []sdp.Attribute) []sdp.Attribute {
	var out []sdp.Attribute
	for _, a := range in {
		switch a.Key {
		case "ice-ufrag", "ice-pwd", sdp.AttrKeyCandidate, sdp.AttrKeyEndOfCandidates:
		default:
			out = append(out, a)
		}
	}
	return out
}

func setupOf(d *sdp.SessionDescription) string {
	if v, ok := d.Attribute(sdp.AttrKeyConnectionSetup); ok {
		return v
	}
	for _, m := range d.MediaDescriptions {
		if v, ok := m.Attribute(sdp.AttrKeyConnectionSetup); ok {
			return v
		}
	}
	return ""
}

func (s *signaling) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rounds
}
