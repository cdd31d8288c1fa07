package clienttest

import (
	"errors"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/sdpfrag"
)

// attach puts the tracks of a publisher that are missing on parked sections, and on new ones unless told not to. It reports
// whether it has changed anything. Nobody gets what is their own.
func (e *session) attach(p *session, parkedOnly bool) (changed bool) {
	if p.id == e.id {
		return false
	}
	for _, track := range p.tracks {
		if e.sections[key(p.id, track.ID())] != nil {
			continue
		}
		var t *webrtc.RTPTransceiver
		for i, candidate := range e.parked {
			if candidate.Kind() == track.Kind() {
				t = candidate
				e.parked = append(e.parked[:i:i], e.parked[i+1:]...)
				break
			}
		}
		var err error
		switch {
		case t != nil:
			var sender *webrtc.RTPSender
			if sender, err = e.pc.AddTrack(track); err == nil {
				t = e.transceiverOf(sender)
			}
		case !parkedOnly:
			t, err = e.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		default:
			continue
		}
		if err != nil {
			e.complain("having "+track.ID(), err)
			return changed
		}
		e.feedback(p, t.Sender())
		e.sections[key(p.id, track.ID())] = t
		changed = true
	}
	return changed
}

func (e *session) transceiverOf(sender *webrtc.RTPSender) *webrtc.RTPTransceiver {
	for _, t := range e.pc.GetTransceivers() {
		if t.Sender() == sender {
			return t
		}
	}
	return nil
}

func key(id, track string) string { return id + " " + track }

// complain fails the test, unless nothing is wrong or the session is about to end: then anything may fail.
func (e *session) complain(what string, err error) {
	if err != nil && !errors.Is(err, webrtc.ErrConnectionClosed) && e.pc.SignalingState() != webrtc.SignalingStateClosed {
		e.server.tb.Errorf("%s: %s: %v", e.path, what, err)
	}
}

// park frees the sections of a publisher that has left.
func (e *session) park(id string) {
	for k, t := range e.sections {
		if !strings.HasPrefix(k, id+" ") {
			continue
		}
		e.complain("parking "+k, e.pc.RemoveTrack(t.Sender()))
		delete(e.sections, k)
		e.parked = append(e.parked, t)
	}
	e.negotiate()
}

// Swap gives the sections of a publisher to one of another room, in one round and with SSRCs unchanged, at all subscribers of the
// first one's room.
func (s *Server) Swap(roomName, from, otherRoom, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.rooms[roomName].subs {
		for _, track := range s.rooms[otherRoom].pubs[to].tracks {
			t := sub.sections[key(from, track.ID())]
			sub.complain("swapping", t.Sender().ReplaceTrack(track))
			delete(sub.sections, key(from, track.ID()))
			sub.sections[key(to, track.ID())] = t
		}
		sub.negotiate()
	}
}

// negotiate offers what is, unless a round is open; that one's answer calls again.
func (e *session) negotiate() {
	if e.waiting || e.channel == nil {
		e.dirty = true
		return
	}
	offer, err := e.pc.CreateOffer(nil)
	if err == nil {
		err = e.pc.SetLocalDescription(offer)
	}
	if err != nil {
		e.complain("offering", err)
		return
	}
	e.waiting, e.dirty = true, false
	e.say("SDP_OFFER " + e.pc.LocalDescription().SDP)
}

// restart replays the client's last description with other ICE lines, as an offer.
func (e *session) restart(f sdpfrag.Fragment) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(e.pc.CurrentRemoteDescription().SDP); err != nil {
		return "", err
	}
	for _, m := range d.MediaDescriptions {
		var kept []sdp.Attribute
		for _, a := range m.Attributes {
			switch a.Key {
			case "ice-ufrag", "ice-pwd", "candidate", "end-of-candidates", "setup":
			default:
				kept = append(kept, a)
			}
		}
		m.Attributes = kept
		m.WithValueAttribute("ice-ufrag", f.Ufrag).WithValueAttribute("ice-pwd", f.Pwd).WithValueAttribute("setup", "actpass")
		for _, c := range f.Candidates {
			m.WithPropertyAttribute(c)
		}
	}
	offer, err := d.Marshal()
	if err != nil {
		return "", err
	}
	if err := e.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: string(offer)}); err != nil {
		return "", err
	}
	answer, err := e.answer()
	if err != nil {
		return "", err
	}
	reply, err := sdpfrag.FromSDP(answer)
	return reply.String(), err
}
