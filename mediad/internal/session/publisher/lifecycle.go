package publisher

import "weever/mediad/internal/session/life"

// The life of a publisher as a table. Publisher.Run feeds happenings to it and carries out the actions; nothing else changes the state.

// stage is where a publisher stands.
type stage uint8

const (
	pending stage = iota // answered; nobody else knows of it
	live                 // recorded and announced
	away                 // silent; its record says so and its sections wait
	left                 // over
)

// state is what an operator is told of it.
func (s stage) state() life.State {
	return [...]life.State{pending: life.Pending, live: life.Live, away: life.Away, left: life.Ending}[s]
}

func (s stage) String() string { return [...]string{"pending", "live", "away", "left"}[s] }

// happening is what can befall a publisher.
type happening uint8

const (
	started     happening = iota // transport up and first packet there
	silent                       // no authenticated packet for a while
	heard                        // an authenticated packet after a silence
	expired                      // the resume window is over, or the time to connect
	ended                        // STOP, DELETE, kick, close_notify, SCTP abort, shutdown
	overtaken                    // a later POST for the same full id went live, or another full id of an away one's label
	happenCount                  // keep last
)

// deed is what Publisher.Run has to do about it.
type deed uint8

const (
	nothing  deed = iota
	goLive        // claim the record and announce it
	markAway      // record and announce the silence
	markLive      // record and announce the return
	remove        // remove the record and announce that it left
)

// steps maps stage and happening to the next stage and the deed. What is not listed changes nothing.
var steps = map[stage]map[happening]struct {
	next stage
	do   deed
}{
	pending: {
		started:   {live, goLive},
		expired:   {left, nothing},
		ended:     {left, nothing},
		overtaken: {left, nothing},
	},
	live: {
		silent:    {away, markAway},
		ended:     {left, remove},
		overtaken: {left, nothing}, // the record is another's by now
	},
	away: {
		heard:     {live, markLive},
		expired:   {left, remove},
		ended:     {left, remove},
		overtaken: {left, nothing},
	},
}

// advance gives the next stage and what to do on the way there.
func advance(s stage, h happening) (stage, deed) {
	if step, ok := steps[s][h]; ok {
		return step.next, step.do
	}
	return s, nothing
}
