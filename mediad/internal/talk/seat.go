package talk

import (
	"golang.org/x/time/rate"

	"weever/mediad/internal/control"
	"weever/shared/events"
	"weever/shared/room"
)

// What one session may say.
const (
	perSecond = 10
	burst     = 20
)

// Seat is one session's place in the talk of its room. Say is for one goroutine at a time, the rest for any. The nil Seat, of a
// session without control channel, hears nothing and leaves at will.
type Seat struct {
	hub     *Hub
	room    room.Name
	full    room.FullID
	mayTalk bool
	pace    *rate.Limiter
	queue   chan control.Prepared
}

// Say carries out a SAY and gives the answer to it. The others of this node have it when it returns; it does not wait for the bus.
func (s *Seat) Say(m control.Say) control.Message {
	if !s.mayTalk {
		return control.Err{Word: control.WordSay, Reason: "the token does not carry the right to say"}
	}
	if !s.pace.Allow() {
		return control.Err{Word: control.WordSay, Reason: "too much is said; ten a second are taken"}
	}
	said, err := control.Prepare(control.Said{From: s.full, JSON: m.JSON})
	if err != nil {
		return control.Err{Word: control.WordSay, Reason: "the JSON cannot be passed on"}
	}
	s.hub.deliver(s.room, s, said)
	s.hub.send(s.room, events.Said{Instance: s.hub.cfg.Instance, From: s.full, JSON: m.JSON})
	return control.OK{}
}

// Heard delivers what others say, each one's in order, as messages to be sent to the client. What comes while 64 wait is lost. It is
// never closed.
func (s *Seat) Heard() <-chan control.Prepared {
	if s == nil {
		return nil
	}
	return s.queue
}

// Leave gives the Seat up; the last one of a room ends what the node hears of it. Twice does no harm.
func (s *Seat) Leave() {
	if s != nil {
		s.hub.leave(s)
	}
}
