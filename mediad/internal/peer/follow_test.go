package peer

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

// The rules for a request from a second address. That media really goes on behind a NAT that forgets is tested with real ones.
func TestFollow(t *testing.T) {
	const silent, speaks = deaf + 100*time.Millisecond, deaf / 2
	for name, c := range map[string]struct {
		first              remote
		address            string
		nominated, checked bool
		follow             bool
	}{
		"another port":                        {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.1", false, false, true},
		"another port while the first speaks": {heardAgo(t, "192.0.2.1", 1000, speaks), "192.0.2.1", true, true, false},
		"another host, nominated and checked": {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.2", true, true, true},
		"another host while the first speaks": {heardAgo(t, "192.0.2.1", 1000, speaks), "192.0.2.2", true, true, false},
		"another host that was not checked":   {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.2", true, false, false},
		"another host that was not nominated": {heardAgo(t, "192.0.2.1", 1000, silent), "192.0.2.2", false, true, false},
		"the address there was already":       {heardAgo(t, "192.0.2.1", 2000, silent), "192.0.2.1", true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			request := func(attributes ...stun.Setter) *stun.Message {
				return stun.MustBuild(append([]stun.Setter{stun.BindingRequest, stun.TransactionID}, attributes...)...)
			}
			var f follower
			if f.onRequest(request(ice.UseCandidate()), nil, c.first, &ice.CandidatePair{Remote: c.first}) {
				t.Error("followed to the only address there is")
			}
			next := heardAgo(t, c.address, 2000, 0)
			pair := &ice.CandidatePair{Remote: next}
			if c.checked {
				pair.UpdateRoundTripTime(time.Millisecond)
			}
			m := request()
			if c.nominated {
				m = request(ice.UseCandidate())
			}
			if got := f.onRequest(m, nil, next, pair); got != c.follow {
				t.Errorf("follow: %v", got)
			}
			if f.onRequest(m, nil, next, pair) && c.follow {
				t.Error("followed twice")
			}
		})
	}
}

// A client that comes from ever new addresses does not make us remember them all.
func TestFollowBounded(t *testing.T) {
	var f follower
	m := stun.MustBuild(stun.BindingRequest, stun.TransactionID)
	for i := range 1000 {
		c := heardAgo(t, "192.0.2.1", 1000+i, 0)
		f.onRequest(m, nil, c, &ice.CandidatePair{Remote: c})
	}
	if len(f.heard) != maxFollowed || f.heard[maxFollowed-1].Port() != 1999 {
		t.Errorf("%d remembered, the latest is %v", len(f.heard), f.heard[len(f.heard)-1])
	}
}
