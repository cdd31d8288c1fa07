package peer

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

// follower lets a connection go on when its client is heard from another address all of a sudden: its NAT has forgotten a port, or it
// has changed to another of its own networks. The client checks the path as always and nominates it; pion would stay with the old
// one for ever, because a peer-reflexive candidate has the lower priority. RFC 8445 leaves it to the controlling side, the
// client, which path is used.
//
// One per connection. Its method is called in the loop of the ICE agent, one call at a time.
type follower struct {
	heard []ice.Candidate // remote candidates that have asked for the connection; the latest last
}

// onRequest is an ice binding request handler: it says whether to send on the path of an authenticated request from now on. There
// are two reasons, both only while the other paths are silent: the client has nominated a path that was checked from this side; or
// the request comes from the same host as before, from another port, so that whatever is sent there can hurt nobody else.
func (f *follower) onRequest(m *stun.Message, _, remote ice.Candidate, pair *ice.CandidatePair) bool {
	same := func(c ice.Candidate) bool { return c.Address() == remote.Address() && c.Port() == remote.Port() }
	others := slices.DeleteFunc(slices.Clone(f.heard), same)
	f.heard = append(others, remote)[max(0, len(others)+1-maxFollowed):]
	if len(others) == 0 {
		return false // pion's own affair
	}
	sameHost := false
	for _, c := range others {
		if time.Since(c.LastReceived()) < deaf {
			return false
		}
		sameHost = sameHost || c.Address() == remote.Address()
	}
	if !sameHost && (!m.Contains(stun.AttrUseCandidate) || pair.ResponsesReceived() == 0) {
		return false
	}
	f.heard = []ice.Candidate{remote}
	return true
}
