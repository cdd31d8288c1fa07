package chaos

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/shared/testkit/netns"
)

// This file kills and freezes nodes and pulls their cables.

const (
	backLimit = 5 * time.Second  // in which people of a dead node are somewhere else
	awayLimit = 6 * time.Second  // in which everybody knows that a publisher's node is dead
	leftLimit = 20 * time.Second // in which everybody knows that she does not return
)

// elsewhere chooses publishers and viewers who have nothing to do with a node.
func elsewhere(node int) func(pub, viewer int) bool {
	return func(pub, viewer int) bool { return pub != node && viewer != node }
}

// killPublishersNode: of the people at the node one has the SDK and comes back, one does not.
func killPublishersNode(s *scene) {
	c := s.everywhere()
	s.stubborn("ghost", 0)
	for _, v := range c.viewers {
		if err := sees(v.follow.Current(), "ghost", time.Now().Add(openLimit)); err != nil {
			s.Fatal(err)
		}
	}
	began := s.strikes()
	s.nodes[0].kill()
	s.Logf("PUB_AWAY after %v", c.hears(s, away(s, "ghost"), began, awayLimit, 1, 2))
	s.Logf("PUB_LEFT after %v", c.hears(s, left(s, "ghost"), began, leftLimit, 1, 2))
	c.receives(s, openLimit)
	s.unharmed(c.gaps(elsewhere(0)))
	s.bounded(c.gaps(nil), backLimit)
	s.losing(c, 2)
	s.cleaned()
	s.nodes[0].restart()
}

func killViewersNode(s *scene) {
	c := s.gather([]int{0, 1}, []int{2, 2, 2, 0})
	s.strikes()
	s.nodes[2].kill()
	c.receives(s, openLimit)
	s.unharmed(c.gaps(elsewhere(2)))
	s.bounded(c.gaps(nil), backLimit)
	if told := c.told(); len(told) > 0 {
		s.Errorf("viewers were told %v", told)
	}
	s.losing(c, 3)
	s.cleaned()
	s.nodes[2].restart()
}

// freezeNode: alice does not notice and goes on sending to the frozen node; she comes in at another one, too. The frozen node must not be
// heard of her any more when it wakes.
func freezeNode(s *scene) {
	c := s.gather([]int{1, 2}, []int{0, 1, 2})
	old := s.stubborn("alice", 0)
	var heard [3]owners
	for i := range heard {
		watch(s, &heard[i], i)
	}
	began := s.strikes()
	s.nodes[0].Pause()
	s.stubborn("alice", 1)
	for _, i := range []int{1, 2} {
		await(s, "the second owner to be heard", 10*time.Second, func() error { return heard[i].atLeast(2) })
	}
	hold(time.Until(began.Add(20 * time.Second)))
	s.nodes[0].Resume()
	select {
	case <-old.Done():
		s.Logf("the session that was overtaken ended %v after the node woke", time.Since(began.Add(20*time.Second)).Round(time.Millisecond))
	case <-time.After(5 * time.Second):
		s.Error("the session that was overtaken does not end")
	}
	hold(3 * time.Second)
	for i := range heard {
		if n := heard[i].returned(); n > 0 {
			s.Errorf("the watcher at node-%d heard %d packets of an owner that had been overtaken", i, n)
		}
	}
	c.receives(s, openLimit)
	s.unharmed(c.gaps(elsewhere(0)))
	s.bounded(c.gaps(nil), 15*time.Second)
	s.losing(c, 1)
}

// owners notes whose packets of a publisher come to a viewer: one source is heard, then another one, and the first never again.
var errNotHeard = errors.New("not heard yet")

type owners struct {
	mu      sync.Mutex
	sources map[string][]uint32 // by track, in the order of their coming
	again   int                 // packets of one that had been overtaken
}

func (o *owners) note(pub, track string, p *rtp.Packet, _ time.Time) {
	mark, ok := synth.ReadStamp(p.Payload)
	if !ok || pub != "alice" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sources == nil {
		o.sources = map[string][]uint32{}
	}
	heard := o.sources[track]
	for i, source := range heard {
		if source == mark.Stream {
			if i != len(heard)-1 {
				o.again++
			}
			return
		}
	}
	o.sources[track] = append(heard, mark.Stream)
}

// atLeast is nil when so many sources of each track were heard.
func (o *owners) atLeast(n int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, track := range []string{"audio0", "video0"} {
		if len(o.sources[track]) < n {
			return errNotHeard
		}
	}
	return nil
}

func (o *owners) returned() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.again
}

// watch is a viewer at a node who listens to alice alone, and does not go away.
func watch(s *scene, heard *owners, home int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	v, err := client.Subscribe(ctx, client.Config{
		URL: s.nodes[home].url(), Room: s.room, ID: "watcher", HTTP: plainHTTP(), Arrived: heard.note,
	}, 1, 1)
	if err != nil {
		s.Fatal(err)
	}
	s.leaves(v.Hangup)
	await(s, "alice to be heard", openLimit, func() error { return heard.atLeast(1) })
}

// cutOff: the node lives, but nobody hears of it, its clients neither.
func cutOff(s *scene) {
	c := s.everywhere()
	began := s.strikes()
	var cables []netns.Flow
	self := s.nodes[0].station.Addr
	cables = append(cables, netns.Flow{A: self, B: s.lan.Host})
	for i := range s.nats {
		cables = append(cables, netns.Flow{A: self, B: s.nats[i].station.Addr})
	}
	fault := s.lan.Cut(cables...)
	c.receives(s, openLimit)
	hold(time.Until(began.Add(15 * time.Second)))
	fault.Heal()
	s.unharmed(c.gaps(elsewhere(0)))
	s.bounded(c.gaps(nil), 10*time.Second)
	s.losing(c, 2)
	s.nodes[0].ready()
	s.newcomer(c, openLimit)
}
