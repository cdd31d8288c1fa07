package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/publisher"
	"weever/mediad/internal/session/turnstile"
	"weever/mediad/internal/session/viewer"
	"weever/mediad/internal/session/viewer/bandwidth"
	"weever/mediad/internal/session/viewer/outlet"
	"weever/shared/apierr"
	"weever/shared/room"
)

// This file is what an operator is told of the sessions of a node. Publish, Subscribe and the registry count.

// errOverloaded is wrapped by what Config.Admit refuses with.
var errOverloaded = errors.New("the node is busy")

// Standing is a role and how far a session in it is.
type Standing struct {
	Role  room.Role
	State life.State
}

// Stats is a reading of what a Service has done since it was made, and of what it does now.
type Stats struct {
	Running map[Standing]int
	Joins   map[turnstile.Key]uint64 // POSTs by outcome: "ok", or why it was refused
	Ends    map[turnstile.Key]uint64 // sessions that ran, by why they ended
	Tracks  outlet.Tracks            // what viewers are sent
	Links   bandwidth.Total          // what they say of their networks
	Pion    map[string]uint64        // packets that pion dropped, by reason
}

// Stats reads the counters. Tracks are asked one by one: it is nothing to do often.
func (s *Service) Stats() Stats {
	st := Stats{Running: s.registry.standing(), Tracks: s.tracks.Read(), Links: s.links.Read()[struct{}{}], Pion: s.publishers.Peers.Drops()}
	st.Joins, st.Ends = s.registry.count.Read()
	return st
}

// standing counts the sessions that run.
func (g *registry) standing() map[Standing]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := map[Standing]int{}
	for _, r := range g.sessions {
		n[Standing{r.ID.Role, r.State()}]++
	}
	return n
}

// overloaded marks a refusal of Config.Admit, for the count.
func overloaded(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errOverloaded, err)
}

// ended is the word for a session's end, out of its cause.
func ended(cause error) string { return word(cause, reasons, "other") }

// outcome is the word for how a POST went. One without answer and error has panicked. Whoever hung up was refused all the same, if it was
// for a reason; else it is why the POST came to nothing.
func outcome(ctx context.Context, answer *Answer, err error) string {
	code := apierr.Internal
	switch {
	case err != nil:
		code = apierr.From(err).Code
	case answer != nil:
		return "ok"
	}
	other := strings.ReplaceAll(string(code), "-", "_")
	if ctx.Err() != nil && (code == apierr.Internal || code == apierr.Unavailable) {
		other = "given_up"
	}
	return word(err, refusals, other)
}

type worded struct {
	err  error
	word string
}

func word(err error, words []worded, other string) string {
	for _, w := range words {
		if errors.Is(err, w.err) {
			return w.word
		}
	}
	return other
}

var refusals = []worded{
	{errFull, "full"},
	{errDraining, "draining"},
	{errShutdown, "shutdown"},
	{errOverloaded, "overloaded"},
	{errKicked, "kicked"},
}

var reasons = []worded{
	{errDeleted, "deleted"},
	{errKicked, "kicked"},
	{errShutdown, "shutdown"},
	{life.ErrStopped, "stopped"},
	{life.ErrPeerClosed, "closed"},
	{life.ErrSilent, "silent"},
	{life.ErrNoConnect, "not_connected"},
	{life.ErrStalled, "stalled"},
	{publisher.ErrOvertaken, "overtaken"},
	{viewer.ErrNoAnswer, "no_answer"},
	{viewer.ErrNothingLeft, "nobody_left"},
}
