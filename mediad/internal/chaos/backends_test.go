package chaos

import "time"

// This file takes away what all nodes live on.

// resumeLimit is in which relayed media goes on after the bus has come back.
const resumeLimit = 5 * time.Second

func sameNode(pub, viewer int) bool { return pub == viewer }

func oneNATS(s *scene) {
	c := s.everywhere()
	server := s.natsOf(s.nodes[0], "media")
	s.strikes()
	server.Stop()
	hold(4 * time.Second)
	server.start()
	s.meshed()
	c.receives(s, openLimit)
	s.unharmed(c.gaps(sameNode))
	s.bounded(c.gaps(nil), 2*time.Second)
	s.calm(c)
}

func allNATS(s *scene) {
	c := s.everywhere()
	began := s.strikes()
	for _, n := range s.nats {
		n.Stop()
	}
	hold(6 * time.Second)
	for _, n := range s.nats {
		n.start()
	}
	outage := time.Since(began)
	s.meshed()
	c.receives(s, openLimit)
	s.unharmed(c.gaps(sameNode))
	s.bounded(c.gaps(nil), outage+resumeLimit)
	s.calm(c)
	s.newcomer(c, openLimit)
}

func redisEmpty(s *scene)    { redisAway(s, s.redis.Wipe) }
func redisWithData(s *scene) { redisAway(s, func() {}) }

// redisAway: for longer than any lease lasts.
func redisAway(s *scene, meanwhile func()) {
	c := s.everywhere()
	s.strikes()
	s.redis.Stop()
	meanwhile()
	hold(12 * time.Second)
	s.redis.Start()
	s.backIn(c, 15*time.Second)
	c.receives(s, openLimit)
	s.unharmed(c.gaps(nil))
	s.calm(c)
	s.newcomer(c, openLimit)
}

func consulAway(s *scene) {
	c := s.everywhere()
	s.strikes()
	s.consul.Stop()
	hold(4 * time.Second)
	s.newcomer(c, openLimit) // the balancer goes on with who was there
	hold(4 * time.Second)
	s.consul.Start()
	s.whole()
	s.newcomer(c, openLimit)
	s.unharmed(c.gaps(nil))
	s.calm(c)
}

func allBackends(s *scene) {
	c := s.everywhere()
	began := s.strikes()
	s.redis.Stop()
	s.redis.Wipe()
	s.consul.Stop()
	for _, n := range s.nats {
		n.Stop()
	}
	hold(12 * time.Second)
	s.redis.Start()
	s.consul.Start()
	for _, n := range s.nats {
		n.start()
	}
	outage := time.Since(began)
	s.whole()
	s.backIn(c, 15*time.Second)
	c.receives(s, openLimit)
	s.unharmed(c.gaps(sameNode))
	s.bounded(c.gaps(nil), outage+resumeLimit)
	s.calm(c)
	s.newcomer(c, openLimit)
}
