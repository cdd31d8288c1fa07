// Package lives has the rows about sessions on which media flows: what feedback comes, what a refused and a real ICE restart do to
// them, and by what they end.
//
// There is one such session at a time: a second one at the same endpoint may well take the place of the first, and what is seen
// then would mean nothing. Package check takes the rows.
package lives

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"weever/mediad/internal/check/checklist"
	"weever/mediad/internal/check/probe"
)

// Rows lists what is asked of sessions of either kind.
func Rows() []checklist.Row {
	const m, s = checklist.Must, checklist.Should
	e, c := &ending{}, &course{}
	return []checklist.Row{
		{ID: "W9", Level: m, Statement: "lost consent ends the session, and DTLS close_notify does", Judge: departures},
		{ID: "W10", Level: m, Statement: "DELETE ends the session, its ICE and its DTLS", Judge: e.judge(deleted)},
		{ID: "W11", Level: m, Statement: "after DELETE no STUN request is answered any more", Judge: e.judge(revoked)},
		{ID: "W30", Level: m, Statement: "a refused restart leaves the session as it was", Judge: c.judge(unharmed)},
		{ID: "W42", Level: s, Statement: "transport-wide feedback is negotiated and used", Judge: e.judge(feedback)},
		{ID: "H8", Level: s, Statement: "DELETE is answered 200 exactly, for OBS", Judge: e.judge(exactly)},
		{ID: "H10", Level: s, Statement: "media goes on after an ICE restart", Judge: c.judge(goesOn)},
	}
}

const poll = 50 * time.Millisecond

// until looks every so often whether f is true, for the time given. The error is that of f, or of ctx.
func until(ctx context.Context, limit, every time.Duration, f func() (bool, error)) (bool, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := f(); ok || err != nil {
			return ok, err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// knocker asks the server for STUN answers, from a socket of its own.
type knocker struct {
	socket *probe.Socket
	at     netip.AddrPort // where the server answered; invalid: nowhere
}

// knock finds out which of the server's addresses answers under the session's credentials. Nobody may.
func knock(ctx context.Context, s *checklist.Session) (*knocker, error) {
	hosts := s.Answer.Hosts()
	k := &knocker{}
	for _, host := range hosts[:min(len(hosts), 4)] {
		if k.socket != nil {
			k.socket.Close()
		}
		var err error
		if k.socket, err = probe.Listen(host); err != nil {
			k.socket = nil // no route to it
			continue
		}
		ok, err := k.socket.Ask(ctx, host, s.Login())
		if ok {
			k.at = host
		}
		if ok || ctx.Err() != nil {
			return k, err
		}
	}
	return k, nil
}

func (k *knocker) close() {
	if k.socket != nil {
		k.socket.Close()
	}
}

// answered asks again, on the same five-tuple.
func (k *knocker) answered(ctx context.Context, l probe.Login) (bool, error) {
	if !k.at.IsValid() {
		return false, nil
	}
	return k.socket.Ask(ctx, k.at, l)
}

// feedbackWait is how long the first feedback may take.
const feedbackWait = 5 * time.Second

func feedback(e *ending, r *checklist.Run) checklist.Verdict {
	negotiated := e.session.Answer.Any(func(m probe.Media) bool { return slices.Contains(m.Feedback, "transport-cc") })
	what := "reports arrived"
	if r.Player {
		what = "packets were numbered"
	}
	evidence := fmt.Sprintf("transport-cc in the answer: %v, %d %s", negotiated, e.feedback, what)
	switch {
	case !negotiated && r.Player:
		return checklist.NotSeen("%s: the server wants no feedback of players", evidence)
	case !negotiated:
		return checklist.Failed("%s", evidence)
	case e.feedback == 0 && !e.media:
		return checklist.NotSeen("%s, for no media came", evidence)
	case e.feedback == 0 && r.Player: // the publisher that the check brings has one layer
		return checklist.NotSeen("%s: with one layer to send there is nothing to adapt", evidence)
	}
	return checklist.When(e.feedback > 0, "%s", evidence)
}
