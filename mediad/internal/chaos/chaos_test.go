package chaos

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
)

var full = flag.Bool("full", false, "all faults, not only the most telling ones")

// fault is one row of the table.
type fault struct {
	name  string
	short bool   // it is one of the most telling ones
	bound string // what must hold, in words
	// strike gathers a crowd, lets the fault come and go, and looks at what the crowd noticed.
	strike func(*scene)
}

// scene is one fault on a stage, and what came of it.
type scene struct {
	*stage
	result

	room   string
	crowds []*crowd
	others []func()  // each lets somebody leave who is in no crowd
	struck time.Time // when the fault came
}

// TestChaos lets one fault follow the other. They share a stage as long as it is whole again after each.
func TestChaos(t *testing.T) {
	p := buildPrograms(t)
	var results []result
	defer func() { printTable(os.Stdout, results) }()
	var s *stage
	for i, f := range faults() {
		if !f.short && !*full {
			continue
		}
		sc := &scene{room: fmt.Sprintf("room%d", i), result: result{fault: f.name, bound: f.bound}}
		name := strings.NewReplacer(" ", "_", "/", "_").Replace(f.name)
		ran := false
		good := t.Run(name, func(row *testing.T) {
			ran = true
			if s == nil {
				s = newStage(t, row, p)
			}
			sc.stage, s.now = s, row
			sc.play(f.strike)
		})
		if s != nil {
			s.now = t
		}
		if !ran { // -run has chosen others
			continue
		}
		sc.passed = good
		results = append(results, sc.result)
		if !good && s != nil {
			s.close()
			s = nil
		}
	}
}

// play lets the fault strike, then everybody leave, and looks at what is left.
func (s *scene) play(strike func(*scene)) {
	s.Helper()
	defer func(began time.Time) {
		s.took = time.Since(began)
		if s.now.Failed() {
			for _, n := range s.nodes {
				said := n.Said()
				s.Logf("%s said: %s", n.id, said[max(0, len(said)-4000):])
			}
		}
	}(time.Now())
	s.pulse = attentive
	strike(s)
	for _, c := range s.crowds {
		if up := c.given(); len(up) > 0 {
			s.Errorf("some have given up: %v", up)
		}
		s.lost += c.lost()
		c.leave()
	}
	for _, leave := range s.others {
		leave()
	}
	s.whole()
	if err := tryUntil(time.Now().Add(cleanLimit), func() error { return nothing(s.ofAnybody()) }); err != nil {
		s.stale, _ = s.ofAnybody()
		s.Errorf("%v after everybody has left Redis still has: %v", cleanLimit, err)
	}
	err := tryUntil(time.Now().Add(idleLimit), func() error {
		if s.goroutines = s.growth(); s.goroutines > spare {
			return fmt.Errorf("%d more", s.goroutines)
		}
		return nil
	})
	if err != nil {
		s.Errorf("goroutines of a node after everybody has left: %v", err)
	}
}

// gather makes a crowd in the room of this fault.
func (s *scene) gather(pubs, viewers []int) *crowd {
	s.Helper()
	c := s.stage.gather(s.now, s.room, pubs, viewers)
	s.crowds = append(s.crowds, c)
	return c
}

// leaves notes that somebody has to leave when the fault is over, whatever comes of it; twice does no harm.
func (s *scene) leaves(leave func()) {
	s.now.Cleanup(leave)
	s.others = append(s.others, leave)
}

// everywhere is a crowd with one publisher and one viewer at each node.
func (s *scene) everywhere() *crowd {
	s.Helper()
	return s.gather([]int{0, 1, 2}, []int{0, 1, 2})
}

// strikes begins the measurement: the fault comes now.
func (s *scene) strikes() time.Time {
	for _, c := range s.crowds {
		c.measure()
	}
	s.struck = time.Now()
	return s.struck
}

// unharmed insists that not one packet was missing.
func (s *scene) unharmed(g gap) {
	s.Helper()
	s.same.add(g)
	if g.hole > 0 {
		s.Errorf("%v were missing of %s", g.hole, g.where)
	}
}

// bounded insists that no gap was longer.
func (s *scene) bounded(g gap, limit time.Duration) {
	s.Helper()
	s.other.add(g)
	if g.hole > limit {
		s.Errorf("%v were missing of %s, at most %v may be", g.hole, g.where, limit)
	}
}

// calm insists that nobody was told that somebody is away or has left, and that no session was lost.
func (s *scene) calm(c *crowd) {
	s.Helper()
	if told := c.told(); len(told) > 0 {
		s.Errorf("viewers were told %v", told)
	}
	s.kept(c)
}

// kept insists that no session was lost.
func (s *scene) kept(c *crowd) {
	s.Helper()
	s.losing(c, 0)
}

// losing insists that so many sessions were lost: those that the fault took with it.
func (s *scene) losing(c *crowd, n int) {
	s.Helper()
	if lost := c.lost(); lost != n {
		s.Errorf("%d sessions were lost, want %d", lost, n)
	}
}

// cleaned waits until Redis has nothing of processes that have ended.
func (s *scene) cleaned() {
	s.Helper()
	if err := tryUntil(s.struck.Add(cleanLimit), func() error { return nothing(s.ofDead()) }); err != nil {
		s.stale, _ = s.ofDead()
		s.Errorf("%v after the fault Redis still has: %v", cleanLimit, err)
	}
	s.Logf("Redis is clean %v after the fault", time.Since(s.struck).Round(10*time.Millisecond))
}

// backIn waits until Redis knows everybody.
func (s *scene) backIn(c *crowd, limit time.Duration) {
	s.Helper()
	await(s, "everybody to be in Redis", limit, func() error { return s.present(c) })
}

// newcomer comes in through the balancer and sees everybody.
func (s *scene) newcomer(c *crowd, limit time.Duration) {
	s.Helper()
	began := time.Now()
	var v *client.Subscriber
	err := tryUntil(began.Add(limit), func() (err error) {
		v, err = s.enters(client.Config{URL: s.balancer.URL, Room: c.room, ID: "newcomer", HTTP: plainHTTP()}, len(c.pubs))
		return err
	})
	if err != nil {
		s.Fatalf("a newcomer cannot come in within %v: %v", limit, err)
	}
	defer v.Hangup()
	for _, p := range c.pubs {
		if err := sees(v, p.id, began.Add(limit)); err != nil {
			s.Errorf("a newcomer does not see %s within %v: %v", p.id, limit, err)
		}
	}
	s.Logf("a newcomer sees everybody after %v", time.Since(began).Round(time.Millisecond))
}
