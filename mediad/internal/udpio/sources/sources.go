// Package sources remembers from which addresses one session is asked, and lets few of them ask.
//
// STUN has no protection against replay: one authentic connectivity check, captured and sent again from other addresses, would make a
// candidate, a pair and a ping of pion's for each. Package udpio has each check judged before pion gets it.
package sources

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"weever/mediad/internal/udpio/peek"
)

const (
	// maxSources is from how many addresses at a time one session may be asked. A client has a handful of networks.
	maxSources = 32
	// maxAdmitted is how many addresses a session may be asked from until ICE is restarted: pion forgets none of them before.
	maxAdmitted = 1000
	// maxAnswered is how many requests are remembered, so that none is taken again from elsewhere. A client asks every 2 s or so.
	maxAnswered = 64
	// silent is after what time without a packet an address may be replaced: several times the interval of any client's checks.
	silent = 10 * time.Second
)

// Verdict says what becomes of a request.
type Verdict uint8

// The verdicts.
const (
	Pass      Verdict = iota
	Unchecked         // passes; its address has not answered a check of ours yet, another one has
	Replayed          // to be dropped: it has been answered already, to another address
	TooMany           // to be dropped: too many addresses ask
)

// List is the addresses that ask for one session: those whose requests pion has answered, which means that they were authentic and
// that there is a candidate now. One per ICE user fragment, shared by its connections on all sockets; it is forgotten with the last.
// Its zero value is empty. Its methods may be called by any goroutine.
type List struct {
	mu       sync.Mutex
	known    []source // at most maxSources
	media    int      // index of the one from which the latest packet came that was not STUN
	admitted int
	answered [maxAnswered]peek.ID
	next     int // where in answered the next goes
}

type source struct {
	addr   netip.AddrPort
	heard  time.Time
	proven bool // has answered a check of ours, as far as can be seen from outside
}

// HeardMedia notes a packet that is not STUN.
func (s *List) HeardMedia(from netip.AddrPort, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(from); i >= 0 {
		s.known[i].heard, s.media = now, i
	}
}

// HeardAnswer notes an answer to a check of ours.
func (s *List) HeardAnswer(from netip.AddrPort, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(from); i >= 0 {
		s.known[i].heard, s.known[i].proven = now, true
	}
}

// Judge says whether a request may pass. It holds nothing against an address that is known: requests are sent again when answers get
// lost. Nor does it remember anything of one that is not: whoever knows the user fragment can send requests that are not authentic.
func (s *List) Judge(from netip.AddrPort, id peek.ID, now time.Time) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(from)
	if i < 0 {
		if slices.Contains(s.answered[:], id) {
			return Replayed
		}
		if s.admitted >= maxAdmitted || len(s.known) >= maxSources && s.oldest(now) < 0 {
			return TooMany
		}
	} else {
		s.known[i].heard = now
		if s.known[i].proven {
			return Pass
		}
	}
	if slices.ContainsFunc(s.known, func(k source) bool { return k.proven }) {
		return Unchecked
	}
	return Pass
}

// Answered notes that a request was answered.
func (s *List) Answered(to netip.AddrPort, id peek.ID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.answered[:], id) {
		s.answered[s.next] = id
		s.next = (s.next + 1) % maxAnswered
	}
	if s.find(to) >= 0 {
		return
	}
	s.admitted++
	if len(s.known) < maxSources {
		s.known = append(s.known, source{addr: to, heard: now})
	} else if i := s.oldest(now); i >= 0 {
		s.known[i] = source{addr: to, heard: now}
	}
}

// find returns the index of an address, or -1. Nearly all packets are media, from one address.
func (s *List) find(addr netip.AddrPort) int {
	if s.media < len(s.known) && s.known[s.media].addr == addr {
		return s.media
	}
	return slices.IndexFunc(s.known, func(k source) bool { return k.addr == addr })
}

// oldest returns the index of the address that has been silent longest, and long enough to be replaced, or -1. It is never the one
// that media comes from.
func (s *List) oldest(now time.Time) int {
	oldest := -1
	for i, k := range s.known {
		if i != s.media && now.Sub(k.heard) >= silent && (oldest < 0 || k.heard.Before(s.known[oldest].heard)) {
			oldest = i
		}
	}
	return oldest
}
