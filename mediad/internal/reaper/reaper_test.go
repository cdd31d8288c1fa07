package reaper

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/shared/eventually"
	"weever/shared/lease"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// A process is gone while its lease holds. Three survivors clean up: each thing happens once.
func TestTheDeadAreCleanedUpAfterOnce(t *testing.T) {
	t.Parallel()
	redisURL, bus := testkit.Redis(t), testkit.NATSCluster(t, 2)
	tea, den := roomtest.Name(t, "tea"), roomtest.Name(t, "den")
	a, b, c := start(t, "a", redisURL, bus[0].URL, never), start(t, "b", redisURL, bus[1].URL, never), start(t, "c", redisURL, bus[1].URL, never)
	dead := start(t, "dead", redisURL, bus[0].URL, never)
	inTea, inDen := a.news(t, tea), b.news(t, den)
	dead.live(t, tea, "alice")
	gone := dead.live(t, tea, "bob") // silent before her node dies
	if _, err := dead.store.MarkAway(t.Context(), tea, gone.FullID, gone.Inc); err != nil {
		t.Fatal(err)
	}
	dead.live(t, den, "alice")
	dead.live(t, den, "back")
	dead.watch(t, tea, "viewer")
	dead.watch(t, den, "viewer")
	a.live(t, tea, "carol")
	b.watch(t, tea, "other")
	for _, n := range []*node{a, b, c} {
		n.reap(t, nil)
	}
	dead.die()
	eventually.True(t, limit, "alice to be away", func() bool { return slices.Contains(inTea(), "alice away") && slices.Contains(inDen(), "alice away") })
	c.live(t, den, "back") // at another node, within the window
	eventually.True(t, limit, "the end of it", func() bool { return !slices.Contains(a.leased(t), "dead") })
	wantSet(t, "told in tea", inTea(), "alice away", "alice left", "bob left")
	wantSet(t, "told in den", inDen(), "alice away", "alice left", "back away")
	wantSet(t, "in tea", a.people(t, tea), "carol live", "other")
	wantSet(t, "in den", a.people(t, den), "back live")
	wantSet(t, "leases", a.leased(t), "a", "b", "c")
	eventually.True(t, limit, "the count of it", func() bool { return a.reaper.Stats().Reaped+b.reaper.Stats().Reaped+c.reaper.Stats().Reaped == 1 })
	eventually.True(t, limit, "three nodes", func() bool {
		seen := a.reaper.Stats().Nodes
		return len(seen) == 1 && seen[Kind{}] == 3
	})
	if rooms, err := a.store.RoomsOf(t.Context(), "dead"); err != nil || len(rooms) != 0 {
		t.Errorf("still noted: %v, %v", rooms, err)
	}
}

// A lease has run out; its holder is on the bus. When one who is not has been cleaned up after, that one is untouched.
func TestWhoAnswersIsNotDead(t *testing.T) {
	t.Parallel()
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	tea := roomtest.Name(t, "tea")
	a, lame, dead := start(t, "a", redisURL, natsURL, ttl), start(t, "lame", redisURL, natsURL, ttl), start(t, "dead", redisURL, natsURL, ttl)
	news := a.news(t, tea)
	lame.live(t, tea, "alice")
	lame.watch(t, tea, "viewer")
	dead.live(t, tea, "bob")
	lame.silent()
	eventually.True(t, limit, "the lease to run out", func() bool {
		expired, err := a.leases.Expired(t.Context())
		return err == nil && len(expired) == 1
	})
	a.reap(t, nil)
	dead.die()
	eventually.True(t, limit, "the end of the dead", func() bool { return !slices.Contains(a.leased(t), "dead") })
	wantSet(t, "told", news(), "bob away", "bob left")
	wantSet(t, "in the room", a.people(t, tea), "alice live", "viewer")
	wantSet(t, "leases", a.leased(t), "a", "lame")
	lame.deaf() // now it is gone
	eventually.True(t, limit, "the end of the other", func() bool { return !slices.Contains(a.leased(t), "lame") })
	wantSet(t, "in the room", a.people(t, tea))
}

// The first reaper dies between away and left; another goes on and tells nothing twice.
func TestAReaperDiesMidway(t *testing.T) {
	t.Parallel()
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	tea := roomtest.Name(t, "tea")
	a, b, dead := start(t, "a", redisURL, natsURL, never), start(t, "b", redisURL, natsURL, never), start(t, "dead", redisURL, natsURL, never)
	news := a.news(t, tea)
	dead.live(t, tea, "alice")
	dead.watch(t, tea, "viewer")
	stop := b.reap(t, func(c *Config) { c.ResumeWindow = never })
	dead.die()
	eventually.True(t, limit, "alice to be away", func() bool { return slices.Contains(news(), "alice away") })
	eventually.True(t, limit, "the viewer to be gone", func() bool { return slices.Equal(a.people(t, tea), []string{"alice away"}) })
	stop()
	b.die()
	a.reap(t, nil)
	eventually.True(t, limit, "the end of both", func() bool { return slices.Equal(a.leased(t), []string{"a"}) })
	wantSet(t, "told", news(), "alice away", "alice left")
	wantSet(t, "in the room", a.people(t, tea))
}

// One that was taken for dead comes back within the window: what it has not lost is not taken.
func TestOneComesBack(t *testing.T) {
	t.Parallel()
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	tea := roomtest.Name(t, "tea")
	a, cut, dead := start(t, "a", redisURL, natsURL, never), start(t, "cut", redisURL, natsURL, never), start(t, "dead", redisURL, natsURL, never)
	news := a.news(t, tea)
	alice := cut.live(t, tea, "alice")
	a.reap(t, func(c *Config) { c.ResumeWindow = 2 * time.Second })
	cut.die()
	eventually.True(t, limit, "alice to be away", func() bool { return slices.Contains(news(), "alice away") })
	cut.listen(t)
	cut.keep(t, never)
	if _, err := cut.store.RestorePublisher(t.Context(), tea, alice); err != nil {
		t.Fatal(err)
	}
	dead.live(t, tea, "bob")
	dead.die()
	eventually.True(t, limit, "the end of one who does not", func() bool { return slices.Equal(a.leased(t), []string{"a", "cut"}) })
	wantSet(t, "told", news(), "alice away", "bob away", "bob left")
	wantSet(t, "in the room", a.people(t, tea), "alice live")
}

// The bus restarts, and Redis hangs: nobody dies of that. Afterwards the dead are found.
func TestNobodyDiesOfABackend(t *testing.T) {
	t.Parallel()
	redis, bus := testkit.StartRedis(t), testkit.NATSCluster(t, 1)[0]
	tea := roomtest.Name(t, "tea")
	a, b := start(t, "a", redis.URL, bus.URL, never), start(t, "b", redis.URL, bus.URL, never)
	news := a.news(t, tea)
	b.live(t, tea, "alice")
	a.reap(t, nil)
	for range 3 {
		bus.Stop()
		eventually.True(t, limit, "the bus to be away", func() bool { return !a.nc.IsConnected() && !b.nc.IsConnected() })
		bus.Start()
		eventually.True(t, limit, "the bus", func() bool { return a.nc.IsConnected() && b.nc.IsConnected() })
	}
	redis.Pause()
	<-time.After(ttl) // many rounds
	redis.Resume()
	wantSet(t, "told", news())
	wantSet(t, "in the room", a.people(t, tea), "alice live")
	b.die()
	eventually.True(t, limit, "the end of one who dies", func() bool { return slices.Equal(a.leased(t), []string{"a"}) })
	wantSet(t, "told", news(), "alice away", "alice left")
}

// More rooms and viewers than one turn takes.
func TestALargeNodeDies(t *testing.T) {
	t.Parallel()
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	a, dead := start(t, "a", redisURL, natsURL, never), start(t, "dead", redisURL, natsURL, never)
	for i := range maxRooms + 10 {
		dead.live(t, roomtest.Name(t, fmt.Sprintf("room%d", i)), "alice")
	}
	big := roomtest.Name(t, "room0")
	for i := range maxSubscribers + 10 {
		dead.watch(t, big, fmt.Sprintf("viewer%d", i))
	}
	a.reap(t, nil)
	dead.die()
	began := time.Now()
	eventually.True(t, limit, "the end", func() bool { return slices.Equal(a.leased(t), []string{"a"}) })
	t.Logf("%d rooms and %d viewers after %v", maxRooms+10, maxSubscribers+10, time.Since(began).Round(time.Millisecond))
	if rooms, _, err := a.store.Rooms(t.Context(), "", 10); err != nil || len(rooms) != 0 {
		t.Errorf("left: %v, %v", rooms, err)
	}
}

// Everybody is looked at by somebody in every round, and by everybody now and then.
func TestShares(t *testing.T) {
	for _, n := range []int{1, 2, 10, 11, 12, 50} {
		all := make([]lease.Lease, n)
		for i := range all {
			all[i].Instance = fmt.Sprintf("%03d", i)
		}
		seen := map[string]bool{}
		for round := range 20 {
			looked := map[string]bool{}
			for i := range all {
				r := &Reaper{cfg: Config{Self: all[i].Instance}, round: round}
				mine := r.suspects(all)
				if len(mine) != min(n-1, maxProbed) {
					t.Fatalf("%d of %d", len(mine), n)
				}
				for _, l := range mine {
					if l.Instance == all[i].Instance {
						t.Fatal("a node looks at itself")
					}
					looked[l.Instance] = true
					seen[all[i].Instance+" "+l.Instance] = true
				}
			}
			if n > 1 && len(looked) != n {
				t.Fatalf("%d of %d are looked at", len(looked), n)
			}
		}
		if len(seen) != n*(n-1) {
			t.Errorf("of %d: %d pairs", n, len(seen))
		}
	}
}

func TestNewNeedsAll(t *testing.T) {
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "needed") {
		t.Errorf("got %v", err)
	}
}
