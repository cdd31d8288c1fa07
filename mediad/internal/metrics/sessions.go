package metrics

import (
	"weever/mediad/internal/session"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/turnstile"
	"weever/shared/room"
)

// This file declares what is told of sessions. Roles are the words of the URLs: pub and sub.

func sessionFamilies() []family {
	return []family{
		gauge("publishers", "Running sessions of publishers on this node.", nil, the(func(r *reading) int { return running(r, room.Pub) })),
		gauge("viewers", "Running sessions of viewers on this node.", nil, the(func(r *reading) int { return running(r, room.Sub) })),
		gauge(
			"sessions", "Running sessions by state: pending (not connected, or no media yet), live, away (silent publishers), ending.",
			[]string{"role", "state"}, readStates,
		),
		counter(
			"joins_total", "POSTs that reached the sessions, by outcome: ok, or the reason of the refusal. What was refused before, such as "+
				"bad tokens, is in weever_http_requests_total.", []string{"role", "outcome"},
			func(r *reading, out emit) { readWords(r.sessions.Joins, "ok", out) },
		),
		counter(
			"session_ends_total", "Sessions that have ended, by why.", []string{"role", "reason"},
			func(r *reading, out emit) { readWords(r.sessions.Ends, "", out) },
		),
	}
}

func running(r *reading, role room.Role) (n int) {
	for s, count := range r.sessions.Running {
		if s.Role == role {
			n += count
		}
	}
	return n
}

func readStates(r *reading, out emit) {
	for role, states := range map[room.Role][]life.State{
		room.Pub: {life.Pending, life.Live, life.Away, life.Ending},
		room.Sub: {life.Pending, life.Live, life.Ending},
	} {
		for _, s := range states {
			out(number(r.sessions.Running[session.Standing{Role: role, State: s}]), string(role), s.String())
		}
	}
}

// readWords reads counts by role and word. The word always, if any, is there from the start, so that rates can be told.
func readWords(counts map[turnstile.Key]uint64, always string, out emit) {
	for k, n := range counts {
		out(number(n), string(k.Role), k.Word)
	}
	for _, role := range []room.Role{room.Pub, room.Sub} {
		if _, there := counts[turnstile.Key{Role: role, Word: always}]; !there && always != "" {
			out(0, string(role), always)
		}
	}
}
