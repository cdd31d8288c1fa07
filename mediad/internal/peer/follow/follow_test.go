package follow

import (
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// remote is a candidate of the client's that was heard a while ago.
type remote struct {
	ice.Candidate
	silence time.Duration
}

func (r remote) LastReceived() time.Time { return time.Now().Add(-r.silence) }

func heardAgo(t *testing.T, address string, port int, silence time.Duration) remote {
	t.Helper()
	c, err := ice.NewCandidatePeerReflexive(&ice.CandidatePeerReflexiveConfig{Network: "udp", Address: address, Port: port, Component: 1})
	if err != nil {
		t.Fatal(err)
	}
	return remote{c, silence}
}

// pairWith is a pair with a remote candidate, on which the client has answered us or not.
func pairWith(c remote, answered bool) *ice.CandidatePair {
	pair := &ice.CandidatePair{Remote: c}
	if answered {
		pair.UpdateRoundTripTime(time.Millisecond)
	}
	return pair
}

func request(generation string, nominates bool) *stun.Message {
	setters := []stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername(generation)}
	if nominates {
		setters = append(setters, ice.UseCandidate())
	}
	return stun.MustBuild(setters...)
}

const silent, speaks = deaf + 100*time.Millisecond, deaf / 2

// The rules for a request from a second address. That media really goes on behind a NAT that forgets is tested with real ones.
func TestFollow(t *testing.T) {
	for name, c := range map[string]struct {
		first              remote
		address            string
		nominated, checked bool
		follow             bool
	}{
		"another port":                        {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.1", false, true, true},
		"another port that was not checked":   {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.1", true, false, false},
		"another port while the first speaks": {heardAgo(t, "192.0.2.1", 1000, speaks), "192.0.2.1", true, true, false},
		"another host, nominated and checked": {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.2", true, true, true},
		"another host while the first speaks": {heardAgo(t, "192.0.2.1", 1000, speaks), "192.0.2.2", true, true, false},
		"another host that was not checked":   {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.2", true, false, false},
		"another host that was not nominated": {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.2", false, true, false},
		"the address there was already":       {heardAgo(t, "192.0.2.1", 2000, silent), "192.0.2.1", true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var f follower
			if f.onRequest(request("a", true), nil, c.first, pairWith(c.first, true)) {
				t.Error("followed to the only address there is")
			}
			next := heardAgo(t, c.address, 2000, 0)
			pair := pairWith(next, c.checked)
			m := request("a", c.nominated)
			if got := f.onRequest(m, nil, next, pair); got != c.follow {
				t.Errorf("follow: %v", got)
			}
			if f.onRequest(m, nil, next, pair) && c.follow {
				t.Error("followed twice")
			}
		})
	}
}

// An address on which nobody answers us does not keep the client from another.
func TestFollowPastTheUnanswered(t *testing.T) {
	var f follower
	for i := range 100 { // nor do many of them push out the path in use
		c := heardAgo(t, "192.0.2.1", 3000+i, speaks)
		f.onRequest(request("a", true), nil, c, pairWith(c, false))
		if i == 0 {
			first := heardAgo(t, "192.0.2.1", 1000, silent)
			f.onRequest(request("a", true), nil, first, pairWith(first, true))
		}
	}
	next := heardAgo(t, "192.0.2.1", 2000, 0)
	pair := pairWith(next, false)
	m := request("a", false)
	if f.onRequest(m, nil, next, pair) {
		t.Error("followed before the client had answered")
	}
	pair.UpdateRoundTripTime(time.Millisecond)
	if !f.onRequest(m, nil, next, pair) {
		t.Error("did not follow")
	}
}

// After a restart of ICE nothing of before counts, and the client chooses the first path.
func TestFollowAfterRestart(t *testing.T) {
	var f follower
	before := heardAgo(t, "192.0.2.1", 1000, silent)
	f.onRequest(request("a", true), nil, before, pairWith(before, true))
	one, two := heardAgo(t, "192.0.2.1", 2000, silent), heardAgo(t, "192.0.2.1", 3000, silent)
	pairs := []*ice.CandidatePair{pairWith(one, true), pairWith(two, true)}
	for range 2 {
		if f.onRequest(request("b", false), nil, one, pairs[0]) || f.onRequest(request("b", false), nil, two, pairs[1]) {
			t.Fatal("followed before there was a nomination")
		}
	}
	f.onRequest(request("b", true), nil, two, pairs[1])
	if !f.onRequest(request("b", false), nil, one, pairs[0]) {
		t.Error("does not follow any more")
	}
}

// A client that comes from ever new addresses does not make us remember them all.
func TestFollowBounded(t *testing.T) {
	for _, answered := range []bool{false, true} {
		var f follower
		for i := range 1000 {
			c := heardAgo(t, "192.0.2.1", 1000+i, 0)
			f.onRequest(request("a", false), nil, c, pairWith(c, answered))
		}
		if len(f.heard) != maxFollowed || f.heard[maxFollowed-1].remote.Port() != 1999 {
			t.Errorf("%d remembered, the latest is %v", len(f.heard), f.heard[len(f.heard)-1])
		}
	}
}
