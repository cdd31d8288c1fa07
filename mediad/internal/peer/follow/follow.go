// Package follow decides when a connection is to go on at another address of its client's.
//
// Package peer gives each connection a Handler of its own; it is called in the loop of the connection's ICE agent and ends with it.
package follow

import (
	"slices"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

const (
	// deaf is how long the path in use must have been silent before another is taken. A client that sends or receives media is never
	// silent that long; one that does neither is asked by keepalives, more seldom: it may be moved to and fro, which it does not feel.
	deaf = 400 * time.Millisecond
	// maxFollowed bounds the addresses remembered of one client.
	maxFollowed = 8
)

// Handler makes a binding request handler for one connection, as ice.WithBindingRequestHandler and webrtc's SettingEngine take it. It
// says whether to send on the path of an authenticated request from now on.
func Handler() func(m *stun.Message, local, remote ice.Candidate, pair *ice.CandidatePair) bool {
	return (&follower{}).onRequest
}

// follower lets a connection go on when its client is heard from another address all of a sudden: its NAT has forgotten a port, or it
// has changed to another of its own networks. The client checks the path as always and nominates it; pion would stay with the old
// one for ever, because a peer-reflexive candidate has the lower priority. RFC 8445 leaves it to the controlling side, the
// client, which path is used.
//
// A request alone moves nothing. STUN has no protection against replay: a request that was captured may come from anywhere. Only the
// client can answer a check of ours, which pion sends to every new address; package udpio has the request looked at again when the
// answer has come.
//
// One per connection. Its method is called in the loop of the ICE agent, one call at a time.
type follower struct {
	username string // of the requests: the ICE credentials of both sides, which change with a restart
	settled  bool   // since then a path was nominated and checked, so that pion uses one
	heard    []path // from where the client has asked; the latest last
}

// path is an address of the client's.
type path struct {
	remote    ice.Candidate
	pair      *ice.CandidatePair // the latest one with this remote candidate
	answered  bool               // so has an earlier pair
	nominated bool
}

// proven says that the client has answered there.
func (p path) proven() bool { return p.answered || p.pair.ResponsesReceived() > 0 }

func (p path) at(c ice.Candidate) bool {
	return p.remote.Address() == c.Address() && p.remote.Port() == c.Port()
}

// onRequest is an ice binding request handler: it says whether to send on the path of an authenticated request from now on. That must
// have been checked from this side, and the others be silent. Then there are two reasons: the client has nominated the path; or
// it has the same host as one before, only another port. Until the client has nominated a first path, the choice is pion's.
func (f *follower) onRequest(m *stun.Message, _, remote ice.Candidate, pair *ice.CandidatePair) bool {
	if name, _ := m.Get(stun.AttrUsername); string(name) != f.username {
		*f = follower{username: string(name)}
	}
	now := f.note(path{remote: remote, pair: pair, nominated: m.Contains(stun.AttrUseCandidate)})
	if !f.settled || !now.proven() {
		return false
	}
	others, sameHost := false, false
	for _, p := range f.heard {
		if p.at(remote) || !p.proven() {
			continue
		}
		if time.Since(p.remote.LastReceived()) < deaf {
			return false
		}
		others = true
		sameHost = sameHost || p.remote.Address() == remote.Address()
	}
	if !others || !sameHost && !m.Contains(stun.AttrUseCandidate) {
		return false
	}
	f.heard = []path{now}
	return true
}

// note remembers a path, as the latest, and returns what is known of it. When there are too many, the oldest goes on which nobody
// answered; if there is none, the oldest.
func (f *follower) note(p path) path {
	if i := slices.IndexFunc(f.heard, func(o path) bool { return o.at(p.remote) }); i >= 0 {
		p.answered = f.heard[i].proven()
		p.nominated = p.nominated || f.heard[i].nominated
		f.heard = slices.Delete(f.heard, i, i+1)
	}
	if len(f.heard) == maxFollowed {
		i := max(0, slices.IndexFunc(f.heard, func(o path) bool { return !o.proven() }))
		f.heard = slices.Delete(f.heard, i, i+1)
	}
	f.heard = append(f.heard, p)
	f.settled = f.settled || slices.ContainsFunc(f.heard, func(o path) bool { return o.nominated && o.proven() })
	return p
}
