package session

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/peer"
)

// This file is a viewer's dealings with its client: renegotiation rounds, control messages, ICE restarts.

// turn does what the negotiation asks for.
func (v *viewer) turn(r round) {
	switch r {
	case offer:
		if err := v.makeOffer(); err != nil {
			v.cancel(fmt.Errorf("making an offer: %w", err))
		}
	case fail:
		v.cancel(errNoAnswer)
	case rest, apply, discard:
	}
}

// makeOffer parks and places what waits for it and sends the offer.
func (v *viewer) makeOffer() error {
	for _, d := range v.doomed {
		if err := v.sections.park(d); err != nil {
			return err
		}
	}
	v.doomed = nil
	if err := v.placeAll(); err != nil {
		return err
	}
	desc, err := v.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := v.pc.SetLocalDescription(desc); err != nil {
		return err
	}
	text, err := peer.Outgoing(desc.SDP)
	if err != nil {
		return err
	}
	v.log.Debug("offer sent", "bytes", len(text), "sections", len(v.sections.list))
	v.answerBy.Reset(answerTimeout)
	v.send(control.SDPOffer{SDP: text})
	return nil
}

// waitingLegs are the legs without a section, in a steady order: publishers by age would jump about with restarts.
func (v *viewer) waitingLegs() []*leg {
	var out []*leg
	for _, l := range v.legs {
		if !l.placed {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *leg) int {
		return cmp.Or(strings.Compare(a.key.pub.String(), b.key.pub.String()), strings.Compare(a.key.track, b.key.track))
	})
	return out
}

// placeAll puts waiting legs on sections; those that must wait for a parked section get the round after this one.
func (v *viewer) placeAll() error {
	for _, l := range v.waitingLegs() {
		where, err := v.sections.place(l.down, l.track.Codec)
		if err != nil {
			return err
		}
		switch where {
		case placed:
			l.placed = true
		case nextRound:
			v.nego.dirty = true
		case nowhere:
			v.note(l.key, l.track.Codec, noRoom)
		}
	}
	return nil
}

// placeOffered puts what is live on the sections of the POST's offer; more sections come with the first round.
func (v *viewer) placeOffered() error {
	free := map[webrtc.RTPCodecType]int{}
	for _, sec := range v.sections.list {
		free[sec.tr.Kind()]++
	}
	for _, l := range v.waitingLegs() {
		if free[l.down.Kind()] == 0 {
			continue
		}
		free[l.down.Kind()]--
		where, err := v.sections.place(l.down, l.track.Codec)
		if err != nil {
			return err
		}
		l.placed = where == placed
	}
	v.nego.dirty = len(v.waitingLegs()) > 0
	return nil
}

// obey carries out a control message.
func (v *viewer) obey(in incoming) {
	var reply control.Message = control.OK{}
	switch m := in.msg.(type) {
	case nil:
		reply = in.bad.Reply()
	case control.SDPAnswer:
		v.answered(m.SDP)
		return
	case control.Stop:
		v.cancel(errStopped)
		return
	case control.Ping:
		reply = control.Pong(m)
	case control.SubMode:
		v.wishes.manual = m.Mode == control.ModeManual
	case control.Sub:
		reply = v.remember(control.WordSub, v.wishes.say(m.Pub, m.Tracks, true))
	case control.Unsub:
		reply = v.remember(control.WordUnsub, v.wishes.say(m.Pub, m.Tracks, false))
	case control.Layer:
		v.setLevel(m)
	case control.Say:
		reply = control.Err{Word: control.WordSay, Reason: "the token does not carry the right to say"} // no token can, so far
	}
	v.send(reply)
	v.compare()
	v.turn(v.nego.next())
}

func (v *viewer) remember(word control.Word, ok bool) control.Message {
	if !ok {
		return control.Err{Word: word, Reason: "too many are remembered; UNSUB or use SUB_MODE"}
	}
	return control.OK{}
}

// setLevel notes the level and pauses or resumes the leg; compare does the rest.
func (v *viewer) setLevel(m control.Layer) {
	key := legKey{m.Pub, m.Track}
	l := v.legs[key]
	if l == nil && len(v.levels) >= maxSpoken {
		return
	}
	v.levels[key] = m.Level
	if l != nil {
		l.down.Pause(m.Level == control.LevelOff)
	}
}

// answered takes an SDP_ANSWER in.
func (v *viewer) answered(text string) {
	current, fits := compareAnswer(v.pc, text)
	if v.nego.answer(current, fits) != apply {
		v.log.Debug("late or uncalled-for answer dropped", "current", current, "fits", fits)
		return
	}
	if err := v.complete(text); err != nil {
		v.cancel(fmt.Errorf("the client's answer: %w", err))
		return
	}
	v.sections.learn(text)
	v.unlearn()
	v.turn(v.nego.answered())
}

// complete ends the open round with an answer, the client's or a synthetic one.
func (v *viewer) complete(text string) error {
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: peer.WithoutCandidates(text)}); err != nil {
		return err
	}
	v.answerBy.Stop()
	v.sections.completed()
	return nil
}

// unlearn drops the tracks that the client has just said it cannot take.
func (v *viewer) unlearn() {
	for _, l := range v.legs {
		if l.placed && !v.sections.canReceive(l.down.Kind(), l.track.Codec) {
			v.note(l.key, l.track.Codec, noCodec)
			v.drop(l)
		}
	}
}

// restart serves an ICE restart. pion cannot roll back an offer of ours, and the phone that changes network is just the one whose
// answer is lost on the old path: so the open round is completed with an answer made here, and the next round offers all anew.
func (v *viewer) restart(call restartCall) restartResult {
	if due, err := call.due(); !due {
		return restartResult{err: err}
	}
	if v.nego.waiting {
		text, err := mirrorAnswer(v.pc)
		if err == nil {
			err = v.complete(text)
		}
		if err != nil {
			return restartResult{err: fmt.Errorf("closing the open round: %w", err)}
		}
		v.nego.closedByRestart()
	}
	text, err := mirrorOffer(v.pc, call.frag)
	if err != nil {
		return restartResult{err: err}
	}
	frag, err := call.apply(v.pc, text)
	return restartResult{frag, err}
}
