package chaos

import (
	"time"

	"weever/shared/testkit/netns"
)

// This file spoils the ways between nodes and what they live on. All parts live.

// apart chooses who must not notice that a node is cut off from the others: publishers and viewers of one node, or of the others.
func apart(node int) func(pub, viewer int) bool {
	return func(pub, viewer int) bool { return pub == viewer || pub != node && viewer != node }
}

func nodeWithoutRedis(s *scene) {
	c := s.everywhere()
	s.strikes()
	fault := s.lan.Cut(netns.Flow{A: s.nodes[0].station.Addr, B: s.lan.Host, Port: s.redisPort()})
	hold(15 * time.Second)
	fault.Heal()
	s.nodes[0].ready()
	s.backIn(c, 15*time.Second)
	c.receives(s, openLimit)
	s.unharmed(c.gaps(nil))
	s.calm(c)
	s.newcomer(c, openLimit)
}

func nodeWithoutNATS(s *scene) {
	var ways []netns.Flow
	for _, n := range s.nats {
		ways = append(ways, netns.Flow{A: s.nodes[0].station.Addr, B: n.station.Addr})
	}
	split(s, ways)
}

// nodeWithoutNodes: a node and the NATS server beside it are on one side, the others on the other. All have Redis.
func nodeWithoutNodes(s *scene) {
	s.atHome()
	var ways []netns.Flow
	for i := range s.nodes[1:] {
		for _, here := range []*netns.Station{s.nodes[0].station, s.nats[0].station} {
			for _, there := range []*netns.Station{s.nodes[i+1].station, s.nats[i+1].station} {
				ways = append(ways, netns.Flow{A: here.Addr, B: there.Addr})
			}
		}
	}
	split(s, ways)
}

// split cuts node-0 off from the others on the bus. They may think it is dead: its people are there again when the way is.
func split(s *scene, ways []netns.Flow) {
	c := s.everywhere()
	began := s.strikes()
	fault := s.lan.Cut(ways...)
	hold(12 * time.Second)
	fault.Heal()
	outage := time.Since(began)
	c.receives(s, openLimit)
	s.unharmed(c.gaps(apart(0)))
	s.bounded(c.gaps(nil), outage+resumeLimit)
	s.kept(c)
	s.backIn(c, 15*time.Second)
	s.newcomer(c, openLimit)
}

func lossyBus(s *scene) {
	c := s.everywhere()
	var ways []netns.Flow
	for i, server := range s.nats {
		for _, n := range s.nodes {
			ways = append(ways, netns.Flow{A: n.station.Addr, B: server.station.Addr})
		}
		for _, other := range s.nats[:i] {
			ways = append(ways, netns.Flow{A: other.station.Addr, B: server.station.Addr})
		}
	}
	began := s.strikes()
	fault := s.lan.Lose(30, ways...)
	hold(10 * time.Second)
	fault.Heal()
	outage := time.Since(began)
	c.receives(s, openLimit)
	s.unharmed(c.gaps(sameNode))
	s.bounded(c.gaps(nil), outage+resumeLimit)
	s.kept(c)
	s.backIn(c, 15*time.Second)
}
