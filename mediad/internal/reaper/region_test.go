package reaper

import (
	"context"
	"slices"
	"testing"
	"time"

	"weever/shared/eventually"
	"weever/shared/lease"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// Nobody hears a process of another region, for the link to it is cut; it refreshes its lease. That one is not dead. One of the same
// region that is killed is found to be at once, one of another when it has not refreshed its lease for a while.
func TestAnotherRegionCannotBeHeard(t *testing.T) {
	t.Parallel()
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	tea := roomtest.Name(t, "tea")
	a, near, far := start(t, "a", redisURL, natsURL, never), start(t, "near", redisURL, natsURL, never), start(t, "far", redisURL, natsURL, never)
	news := a.news(t, tea)
	near.live(t, tea, "bob")
	far.live(t, tea, "alice")
	stop := func(n *node, region string) func() {
		n.silent()
		k, err := lease.NewKeeper(lease.Config{
			DB: n.db, Self: lease.Record{Node: n.name, Instance: n.name, Epoch: epoch, Region: region}, Period: 100 * time.Millisecond, TTL: lease.TTL,
			Leftovers: func(context.Context) (bool, error) { return true, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return run(t, k.Run)
	}
	stop(a, "eu")
	nearEnds := stop(near, "eu")
	farEnds := stop(far, "us")
	regions := func() (all []string) {
		list, err := a.leases.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			all = append(all, l.Region)
		}
		return all
	}
	eventually.True(t, limit, "all to have told their region", func() bool { return slices.Equal(regions(), []string{"eu", "us", "eu"}) })
	far.deaf()
	nearEnds()
	near.deaf()
	began := time.Now()
	a.reap(t, nil)
	eventually.True(t, limit, "the one that is near", func() bool { return slices.Contains(news(), "bob left") })
	if took := time.Since(began); took > 2*lease.Period-time.Second {
		t.Errorf("a death in the same region was noticed after %v", took)
	}
	<-time.After(ttl) // many rounds
	wantSet(t, "told", news(), "bob away", "bob left")
	wantSet(t, "in the room", a.people(t, tea), "alice live")
	farEnds()
	ended := time.Now()
	eventually.True(t, limit, "the one that is far", func() bool { return slices.Contains(news(), "alice left") })
	if took := time.Since(ended); took < 2*lease.Period-time.Second || took > lease.TTL {
		t.Errorf("its death was noticed after %v", took)
	}
}
