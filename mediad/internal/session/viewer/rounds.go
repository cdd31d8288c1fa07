package viewer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/sdpfrag"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/viewer/announce"
	"weever/mediad/internal/session/viewer/negotiation"
	"weever/mediad/internal/session/viewer/sections"
	"weever/mediad/internal/session/viewer/wishes"
)

// This file is a viewer's dealings with its client: renegotiation rounds, control messages, ICE restarts.

// turn does what the negotiation asks for.
func (v *Viewer) turn(r negotiation.Step) {
	switch r {
	case negotiation.Offer:
		if err := v.makeOffer(); err != nil {
			v.End(fmt.Errorf("making an offer: %w", err))
		}
	case negotiation.Fail:
		v.End(ErrNoAnswer)
	case negotiation.Rest, negotiation.Apply, negotiation.Discard:
	}
}

// makeOffer parks and places what waits for it and sends the offer.
func (v *Viewer) makeOffer() error {
	for _, d := range v.doomed {
		if err := v.sections.Park(d); err != nil {
			return err
		}
	}
	v.doomed = nil
	if err := v.placeAll(); err != nil {
		return err
	}
	desc, err := v.PC.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := v.PC.SetLocalDescription(desc); err != nil {
		return err
	}
	text, err := peer.Outgoing(desc.SDP)
	if err != nil {
		return err
	}
	v.log.Debug("offer sent", "bytes", len(text), "sections", v.sections.Len())
	v.answerBy.Reset(answerTimeout)
	v.send(control.SDPOffer{SDP: text})
	return nil
}

// waitingLegs are the legs without a section, in a steady order: publishers by age would jump about with restarts.
func (v *Viewer) waitingLegs() []*leg {
	var out []*leg
	for _, l := range v.legs {
		if !l.placed {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *leg) int {
		return cmp.Or(strings.Compare(a.key.Pub.String(), b.key.Pub.String()), strings.Compare(a.key.ID, b.key.ID))
	})
	return out
}

// placeAll puts waiting legs on sections; those that must wait for a parked section get the round after this one.
func (v *Viewer) placeAll() error {
	for _, l := range v.waitingLegs() {
		where, err := v.sections.Place(l.down, l.track.Codec)
		if err != nil {
			return err
		}
		switch where {
		case sections.Placed:
			l.placed = true
		case sections.NextRound:
			v.nego.Changed()
		case sections.Nowhere:
			v.note(l.key, l.track.Codec, announce.NoRoom)
		}
	}
	return nil
}

// placeOffered puts what is live on the sections of the POST's offer; more sections come with the first round.
func (v *Viewer) placeOffered() error {
	free := v.sections.Kinds()
	for _, l := range v.waitingLegs() {
		if free[l.down.Kind()] == 0 {
			continue
		}
		free[l.down.Kind()]--
		where, err := v.sections.Place(l.down, l.track.Codec)
		if err != nil {
			return err
		}
		l.placed = where == sections.Placed
	}
	if len(v.waitingLegs()) == 0 {
		v.nego.Told()
	}
	return nil
}

// obey carries out a control message.
func (v *Viewer) obey(in life.Incoming) {
	var reply control.Message = control.OK{}
	switch m := in.Msg.(type) {
	case nil:
		reply = in.Bad.Reply()
	case control.SDPAnswer:
		v.answered(m.SDP)
		return
	case control.Stop:
		v.End(life.ErrStopped)
		return
	case control.Ping:
		reply = control.Pong(m)
	case control.SubMode, control.Sub, control.Unsub:
		reply = v.wishes.Obey(m)
	case control.Layer:
		v.setLevel(m)
	case control.Say:
		reply = v.seat.Say(m)
	}
	v.send(reply)
	v.compare()
	v.turn(v.nego.Next())
}

// setLevel notes the level and pauses or resumes the leg; compare does the rest.
func (v *Viewer) setLevel(m control.Layer) {
	key := wishes.Track{Pub: m.Pub, ID: m.Track}
	l := v.legs[key]
	v.wishes.SetLevel(key, m.Level, l != nil)
	if l != nil {
		l.down.Pause(m.Level == control.LevelOff)
	}
}

// answered takes an SDP_ANSWER in.
func (v *Viewer) answered(text string) {
	current, fits := v.ICE.CompareAnswer(text)
	if v.nego.Answer(current, fits) != negotiation.Apply {
		v.log.Debug("late or uncalled-for answer dropped", "current", current, "fits", fits)
		return
	}
	if err := v.complete(text); err != nil {
		v.End(fmt.Errorf("the client's answer: %w", err))
		return
	}
	v.sections.Learn(text)
	v.unlearn()
	v.turn(v.nego.Answered())
}

// complete ends the open round with an answer, the client's or a synthetic one.
func (v *Viewer) complete(text string) error {
	if err := v.PC.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: peer.WithoutCandidates(text)}); err != nil {
		return err
	}
	v.answerBy.Stop()
	v.sections.Completed()
	return nil
}

// unlearn drops the tracks that the client has just said it cannot take.
func (v *Viewer) unlearn() {
	for _, l := range v.legs {
		if l.placed && !v.sections.CanReceive(l.down.Kind(), l.track.Codec) {
			v.note(l.key, l.track.Codec, announce.NoCodec)
			v.drop(l)
		}
	}
}

// restartOffer writes the offer of an ICE restart. pion cannot roll back an offer of ours, and the phone that changes network is just
// the one whose answer is lost on the old path: so the open round is completed with an answer made here, and the next round offers
// all anew.
func (v *Viewer) restartOffer(frag sdpfrag.Fragment) (string, error) {
	if v.nego.Waiting() {
		text, err := v.ICE.MirrorAnswer()
		if err == nil {
			err = v.complete(text)
		}
		if err != nil {
			return "", fmt.Errorf("closing the open round: %w", err)
		}
		v.nego.ClosedByRestart()
	}
	return v.ICE.MirrorOffer(frag)
}
