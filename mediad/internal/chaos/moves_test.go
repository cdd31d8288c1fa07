package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
)

// This file is what operators do, and what many people do at once.

// unseen is a gap that nobody notices: a few frames.
const unseen = 300 * time.Millisecond

// rollingRestart replaces one node after the other under load.
func rollingRestart(s *scene) {
	viewers := make([]int, s.many(30, 6))
	for i := range viewers {
		viewers[i] = i % len(s.nodes)
	}
	c := s.gather([]int{0, 1, 2}, viewers)
	s.strikes()
	for _, n := range s.nodes {
		s.Logf("%s ended %v after SIGTERM", n.id, n.terminate().Round(time.Millisecond))
		n.restart()
		s.whole()
	}
	c.receives(s, openLimit)
	s.bounded(c.gaps(nil), unseen)
	s.calm(c)
}

// many is a number of people, less in the short version.
func (s *scene) many(all, few int) int {
	if *full {
		return all
	}
	return few
}

func drainNode(s *scene) {
	c := s.gather([]int{0, 1}, make([]int, 50))
	began := s.strikes()
	resp, err := s.nodes[0].private(http.MethodPost, "/preStop")
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	took := time.Since(began)
	var reply struct {
		Drained bool
		Left    int
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || !reply.Drained || reply.Left != 0 || took > 10*time.Second {
		s.Errorf("after %v: %+v, %v", took, reply, err)
	}
	s.Logf("drained in %v", took.Round(time.Millisecond))
	c.receives(s, openLimit)
	s.bounded(c.gaps(nil), unseen)
	s.calm(c)
	s.nodes[0].anew(func() {})
}

// manyJoin: 200 viewers of a room with one small camera, by way of the balancer, while others are in a room of theirs.
func manyJoin(s *scene) {
	const joins = 200
	s.pulse = patient
	c := s.everywhere()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cfg := client.Config{URL: s.balancer.URL, Room: s.room + "-many", ID: "alice", HTTP: plainHTTP()}
	camera := client.Camera(synth.VP8, synth.Burst)
	camera.FPS, camera.Packets, camera.Size = 5, 1, 200
	p, err := client.Publish(ctx, cfg, camera)
	if err != nil {
		s.Fatal(err)
	}
	defer p.Hangup()
	began := s.strikes()
	in := make(chan time.Duration, joins) // when somebody has seen alice
	failed := make(chan error, joins)
	leave := make(chan struct{})
	var all sync.WaitGroup
	for i := range joins {
		hold(time.Until(began.Add(time.Duration(i) * time.Second / joins)))
		all.Go(func() {
			cfg := cfg
			cfg.ID = fmt.Sprintf("guest%d", i)
			v, err := client.Subscribe(ctx, cfg, 0, 1)
			if err != nil {
				failed <- err
				return
			}
			defer v.Hangup()
			if err := v.AwaitMedia(ctx); err != nil {
				failed <- err
				return
			}
			in <- time.Since(began)
			<-leave
		})
	}
	s.Logf("all have asked after %v", time.Since(began))
	var last time.Duration
	for range joins {
		select {
		case last = <-in:
		case err := <-failed:
			s.lost++
			s.Errorf("somebody did not come in: %v", err)
		}
	}
	s.Logf("all are in after %v", last)
	if last > 20*time.Second {
		s.Errorf("the last one saw alice after %v", last)
	}
	close(leave)
	all.Wait()
	c.receives(s, openLimit)
	s.bounded(c.gaps(nil), time.Second)
	s.calm(c)
}

func balancerRestarts(s *scene) {
	c := s.everywhere()
	s.strikes()
	s.balancer.Stop()
	hold(2 * time.Second)
	s.balancer.Start()
	s.newcomer(c, backLimit)
	c.receives(s, openLimit)
	s.unharmed(c.gaps(nil))
	s.calm(c)
}

// logFull: each line that a node would log is refused for lack of space.
func logFull(s *scene) {
	n := s.nodes[0]
	n.anew(func() { n.log, n.flags = "/dev/full", []string{"--log-level=debug"} })
	c := s.everywhere()
	server := s.natsOf(n, "media")
	s.strikes()
	server.Stop() // there is much to log
	hold(3 * time.Second)
	server.start()
	s.meshed()
	s.newcomer(c, openLimit)
	c.receives(s, openLimit)
	s.unharmed(c.gaps(sameNode))
	s.bounded(c.gaps(nil), 2*time.Second)
	s.calm(c)
	c.leave()
	n.anew(func() {})
}
