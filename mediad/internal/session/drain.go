package session

import (
	"context"
	"slices"
	"time"

	"weever/mediad/internal/session/life"
	"weever/shared/room"
)

// This file empties a node: its clients are asked to go on elsewhere. Package drain calls Shut, then Drain, and Stay when it is called
// off; nothing here outlives a call.

const (
	// askEvery spaces the requests to leave: whoever is asked connects elsewhere at once, which costs the other nodes a handshake.
	askEvery = 50 * time.Millisecond
	// askShare is the share of the time for leaving, as a divisor, after which the last has been asked.
	askShare = 4
	// reportEvery is the time between lines in the log about who is left.
	reportEvery = 5 * time.Second
)

// Shut takes no more sessions, until Stay. Those that run do not notice.
func (s *Service) Shut() { s.registry.shut(true) }

// Stay undoes Shut and Drain: new sessions are taken, and those who stayed may go on. Whoever was asked to leave may do so all the same.
func (s *Service) Stay() {
	for _, r := range s.registry.shut(false) {
		r.Stay()
	}
}

// Drain takes no more sessions and asks the clients of those that run to leave by then: over the control channel, or as a WHEP event.
// It returns when all have left, at that time, or when ctx ends. Those who are left then are not ended.
func (s *Service) Drain(ctx context.Context, by time.Time) {
	leaving := s.registry.shut(true)
	if len(leaving) == 0 {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	s.ask(ctx, leaving, by)
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for ctx.Err() == nil {
		publishers, viewers := s.Counts()
		if publishers+viewers == 0 {
			return
		}
		select {
		case <-s.registry.gone:
		case <-report.C:
			s.log.Info("draining", "publishers", publishers, "viewers", viewers, "deadline", time.Until(by).Round(time.Second))
		case <-ctx.Done():
		}
	}
}

// ask asks one after the other, until ctx ends.
func (s *Service) ask(ctx context.Context, leaving []running, by time.Time) {
	space := time.NewTimer(0)
	defer space.Stop()
	for _, r := range leaving {
		select {
		case <-space.C:
		case <-ctx.Done():
			return
		}
		r.Leave(by)
		if r.player != nil {
			r.player.Reconnect()
		}
		space.Reset(min(askEvery, time.Until(by)/askShare/time.Duration(len(leaving))))
	}
}

// shut opens or closes the door and lists who is inside, publishers first: media then comes from where the viewers are going to.
func (g *registry) shut(on bool) []running {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = on
	list := make([]running, 0, len(g.sessions))
	for _, r := range g.sessions {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b running) int { return rank(a.Life) - rank(b.Life) })
	return list
}

func rank(l *life.Life) int {
	if l.ID.Role == room.Pub {
		return 0
	}
	return 1
}
