package chaos

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/follow"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/room/roomtest"
)

const (
	openLimit = 15 * time.Second
	atOnce    = 4 // people who come in at a time

	// For which a node may be silent before its people go elsewhere: as weever.js, and for when two cores make hundreds of handshakes, on
	// both sides.
	attentive, patient = 2500 * time.Millisecond, 10 * time.Second
)

// crowd is people in a room: they have the SDK's manners, obey RECONNECT and come back through the balancer.
type crowd struct {
	stage   *stage
	room    string
	pubs    []*person[*follow.Publisher]
	viewers []*person[*follow.Subscriber]
}

// person is one of them, and the node where she began.
type person[F any] struct {
	follow F
	id     string
	home   int
}

// follows says where a person begins, and where she goes from there.
func (s *stage) follows(rm, id string, home int) follow.Config {
	return follow.Config{
		First: s.nodes[home].url(), Pulse: s.pulse,
		Config: client.Config{URL: s.balancer.URL, Room: rm, ID: id, HTTP: plainHTTP()},
	}
}

// light is a small camera: this is about the system, not about load.
func light() client.Track {
	camera := client.Camera(synth.VP8, synth.Burst)
	camera.Packets, camera.Size = 2, 400
	return camera
}

// gather makes a crowd: publishers at the nodes given, then viewers at the nodes given. It returns when all see all.
func (s *stage) gather(t testing.TB, rm string, pubs, viewers []int) *crowd {
	t.Helper()
	c := &crowd{stage: s, room: rm}
	t.Cleanup(c.leave)
	ctx, cancel := context.WithTimeout(context.Background(), 2*openLimit)
	defer cancel()
	for i, home := range pubs {
		id := "pub" + strconv.Itoa(i)
		p, err := follow.Publish(ctx, s.follows(rm, id, home), client.Microphone(), light())
		if err != nil {
			t.Fatalf("%s at node-%d: %v", id, home, err)
		}
		c.pubs = append(c.pubs, &person[*follow.Publisher]{p, id, home})
	}
	c.viewers = make([]*person[*follow.Subscriber], len(viewers))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, home := range viewers {
		g.Go(func() error {
			id := "viewer" + strconv.Itoa(i)
			v, err := follow.Subscribe(ctx, s.follows(rm, id, home), len(pubs), len(pubs))
			if err != nil {
				return fmt.Errorf("%s at node-%d: %w", id, home, err)
			}
			c.viewers[i] = &person[*follow.Subscriber]{v, id, home}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	c.receives(t, openLimit)
	return c
}

// leave ends everybody's session. Twice does no harm.
func (c *crowd) leave() {
	var all sync.WaitGroup
	for _, v := range c.viewers {
		if v != nil {
			all.Go(v.follow.Close)
		}
	}
	for _, p := range c.pubs {
		all.Go(p.follow.Close)
	}
	all.Wait()
}

// measure forgets what was missing so far.
func (c *crowd) measure() {
	for _, v := range c.viewers {
		v.follow.Measure()
	}
}

// receives waits until everybody sees everybody, now.
func (c *crowd) receives(t testing.TB, limit time.Duration) {
	t.Helper()
	if err := c.flowing(limit); err != nil {
		t.Fatalf("not everybody sees everybody within %v: %v", limit, err)
	}
}

// flowing waits until each viewer has got so many more packets of each track that a gap before them would show.
func (c *crowd) flowing(limit time.Duration) error {
	start := map[string]uint64{}
	count := func(v *person[*follow.Subscriber]) map[string]uint64 {
		n := map[string]uint64{}
		for _, s := range v.follow.Silences() {
			n[v.id+" "+s.Pub+" "+s.Track] = s.Packets
		}
		return n
	}
	for _, v := range c.viewers {
		for k, n := range count(v) {
			start[k] = n
		}
	}
	return tryUntil(time.Now().Add(limit), func() error {
		for _, v := range c.viewers {
			now := count(v)
			for _, p := range c.pubs {
				for _, track := range []string{"audio0", "video0"} {
					k := v.id + " " + p.id + " " + track
					if now[k] < start[k]+20 {
						return fmt.Errorf("%s of %s, which began at node-%d, has brought %d packets to %s, which began at node-%d",
							track, p.id, p.home, now[k]-start[k], v.id, v.home)
					}
				}
			}
		}
		return nil
	})
}

// gap is the longest time for which something was missing of what was sent, and for which nothing came.
type gap struct {
	hole, silence time.Duration
	where         string // of the hole
}

func (g *gap) add(other gap) {
	if other.hole > g.hole {
		g.hole, g.where = other.hole, other.where
	}
	g.silence = max(g.silence, other.silence)
}

// gaps is the longest gap of what publishers sent to viewers; which says of whom, by the nodes where they began; nil: all.
func (c *crowd) gaps(which func(pub, viewer int) bool) (longest gap) {
	for _, v := range c.viewers {
		for _, s := range v.follow.Silences() {
			for _, p := range c.pubs {
				if p.id == s.Pub && (which == nil || which(p.home, v.home)) {
					where := fmt.Sprintf("%s of %s from node-%d to %s at node-%d, at %s", s.Track, p.id, p.home, v.id, v.home, s.HoleAt.Format("15:04:05.000"))
					longest.add(gap{s.Hole, s.Longest, where})
				}
			}
		}
	}
	return longest
}

// lost is the number of sessions that ended before another one had taken over.
func (c *crowd) lost() (n int) {
	for _, p := range c.pubs {
		n += p.follow.Lost()
	}
	for _, v := range c.viewers {
		n += v.follow.Lost()
	}
	return n
}

// given is who will not come back, and why.
func (c *crowd) given() (up []string) {
	for _, p := range c.pubs {
		if err := p.follow.Err(); err != nil {
			up = append(up, p.id+": "+err.Error())
		}
	}
	for _, v := range c.viewers {
		if err := v.follow.Err(); err != nil {
			up = append(up, v.id+": "+err.Error())
		}
	}
	return up
}

// told lists what the viewers were told of publishers that are away or have left, on the sessions they have.
func (c *crowd) told() (all []string) {
	for _, v := range c.viewers {
		for _, m := range v.follow.Current().Log() {
			switch m := m.(type) {
			case control.PubAway:
				all = append(all, "PUB_AWAY "+m.Pub.String()+" to "+v.id)
			case control.PubLeft:
				all = append(all, "PUB_LEFT "+m.Pub.String()+" to "+v.id)
			}
		}
	}
	return all
}

// stubborn publishes at a node without the SDK's manners: when the node is gone, so is she.
func (s *scene) stubborn(id string, home int) *client.Publisher {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	cfg := client.Config{URL: s.nodes[home].url(), Room: s.room, ID: id, HTTP: plainHTTP()}
	p, err := client.Publish(ctx, cfg, client.Microphone(), light())
	if err != nil {
		s.Fatalf("%s at node-%d: %v", id, home, err)
	}
	s.leaves(p.Hangup)
	return p
}

// enters opens a viewer's session, once.
func (s *stage) enters(cfg client.Config, pubs int) (*client.Subscriber, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	return client.Subscribe(ctx, cfg, pubs, pubs)
}

// sees waits until a viewer gets a publisher's tracks.
func sees(v *client.Subscriber, pub string, by time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	for _, track := range []string{"audio0", "video0"} {
		if _, err := v.AwaitTrack(ctx, pub, track, func(st client.TrackStats) bool { return st.Active && st.Packets > 10 }); err != nil {
			return err
		}
	}
	return nil
}

// hears waits until the viewers that began at the nodes given have been told something, and says how long after began the last of them was.
func (c *crowd) hears(t testing.TB, what control.Message, began time.Time, limit time.Duration, homes ...int) time.Duration {
	t.Helper()
	for _, v := range c.viewers {
		for _, home := range homes {
			if v.home != home {
				continue
			}
			ctx, cancel := context.WithDeadline(context.Background(), began.Add(limit))
			_, err := v.follow.Current().Await(ctx, func(m control.Message) bool { return m == what })
			cancel()
			if err != nil {
				t.Errorf("%s was not told %#v within %v: %v", v.id, what, limit, err)
			}
		}
	}
	return time.Since(began)
}

func away(t testing.TB, id string) control.Message {
	return control.PubAway{Pub: roomtest.FullID(t, id)}
}

func left(t testing.TB, id string) control.Message {
	return control.PubLeft{Pub: roomtest.FullID(t, id)}
}
