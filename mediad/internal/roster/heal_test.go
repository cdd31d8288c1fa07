package roster

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/apierr"
	"weever/shared/events"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

// These tests show that what the bus did not carry is found in Redis, and that a Redis without data proves nothing.

func TestALostEventIsHealedFromRedis(t *testing.T) {
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	a := running(t, "a", redisURL, natsURL, never)
	h := running(t, "b", redisURL, natsURL, 50*time.Millisecond).open(t, roomtest.Name(t, "r"))
	c := a.live(t, roomtest.Name(t, "r"), "alice")
	awaitIDs(t, h, "alice")
	a.remove(t, roomtest.Name(t, "r"), c.Publisher)
	awaitIDs(t, h)
}

func TestAGapIsHealedAtOnce(t *testing.T) {
	redisURL, natsURL := testkit.Redis(t), testkit.NATS(t)
	a, b := running(t, "a", redisURL, natsURL, never), running(t, "b", redisURL, natsURL, never)
	rm := roomtest.Name(t, "r")
	ha, hb := a.open(t, rm), b.open(t, rm)
	tell(t, ha, events.Up, a.live(t, rm, "alice"))
	awaitIDs(t, hb, "alice")
	awaitReads(t, dialRedis(t, redisURL), 4) // the second look of both is over
	a.live(t, rm, "bob")                     // nobody hears of it
	tell(t, ha, events.Up, a.live(t, rm, "carol"))
	awaitIDs(t, hb, "alice", "bob", "carol")
	awaitIDs(t, ha, "alice", "bob", "carol")
	// What is told at a node's own is told twice, but opens one gap.
	if st := b.Stats(); st.Gaps != 1 || st.Heals < 3 || st.Failed != 0 || st.Rooms != 1 {
		t.Errorf("counted %+v", st)
	}
}

func TestAReconnectIsHealedAtOnce(t *testing.T) {
	redisURL, servers := testkit.Redis(t), testkit.NATSCluster(t, 2)
	a, b := running(t, "a", redisURL, servers[0].URL, never), running(t, "b", redisURL, servers[1].URL, never)
	rm := roomtest.Name(t, "r")
	ha, hb := a.open(t, rm), b.open(t, rm)
	tell(t, ha, events.Up, a.live(t, rm, "alice"))
	awaitIDs(t, hb, "alice")
	for _, id := range []string{"bob", "carol", "dave"} {
		servers[1].Stop()
		before := idsOf(hb.View())
		tell(t, ha, events.Up, a.live(t, rm, id))
		servers[1].Start()
		awaitIDs(t, hb, append(before, id)...)
	}
}

// confirm does what a session layer does: it restores the records of this node that Redis has lost.
func (n *node) confirm(t *testing.T, h *Room) {
	t.Helper()
	for _, p := range h.View().Lost(n.name) {
		c, err := n.store.RestorePublisher(t.Context(), h.t.name, p)
		if err != nil {
			t.Fatal(err)
		}
		tell(t, h, events.Up, c)
	}
}

func TestNobodyLeavesBecauseRedisIsAwayOrEmpty(t *testing.T) {
	srv, natsURL := testkit.StartRedis(t), testkit.NATS(t)
	every := time.Second // the time of grace is twice that: enough for b to follow a
	a, b := running(t, "a", srv.URL, natsURL, every), running(t, "b", srv.URL, natsURL, every)
	rm := roomtest.Name(t, "r")
	ha, hb := a.open(t, rm), b.open(t, rm)
	tell(t, ha, events.Up, a.live(t, rm, "alice"))
	tell(t, hb, events.Up, b.live(t, rm, "bob"))
	both := []string{"alice", "bob"}
	awaitIDs(t, ha, both...)
	awaitIDs(t, hb, both...)
	kept := func() {
		t.Helper()
		for _, h := range []*Room{ha, hb} {
			if got := idsOf(h.View()); !slices.Equal(got, both) {
				t.Fatalf("the view is %v", got)
			}
		}
	}
	srv.Stop()
	rdb := dialRedis(t, srv.URL)
	if _, err := a.Open(t.Context(), roomtest.Name(t, "other")); apierr.From(err).Code != apierr.Unavailable {
		t.Fatalf("a room nobody knows was opened while Redis is away: %v", err)
	}
	a.open(t, rm).Close() // one that is open can be entered
	kept()
	srv.Start()
	for _, h := range []*Room{ha, hb} {
		await(t, h, "the loss to be seen", func(v *View) bool { return len(v.Unconfirmed) == 2 })
	}
	// Any number of looks into an empty Redis changes nothing.
	awaitReads(t, rdb, hgetalls(t, rdb)+6)
	kept()
	if a.confirm(t, ha); len(ha.View().Lost("a")) != 0 {
		t.Fatal("a restored record is still lost")
	}
	await(t, hb, "alice to be confirmed", func(v *View) bool { return len(v.Unconfirmed) == 1 })
	kept()
	b.confirm(t, hb)
	awaitIDs(t, ha, both...)
	awaitIDs(t, hb, both...)
	// And the word still goes round.
	tell(t, hb, events.Up, b.live(t, rm, "carol"))
	awaitIDs(t, ha, "alice", "bob", "carol")
}

// A look that failed breaks the row of looks that lacked somebody, and is told to the log once.
func TestALookThatFailsProvesNothing(t *testing.T) {
	srv := testkit.StartRedis(t)
	n := idle(t, "n", srv.URL, testkit.NATS(t), never)
	var log strings.Builder
	n.log = slog.New(slog.NewTextHandler(&log, nil))
	rm := roomtest.Name(t, "r")
	c := n.live(t, rm, "alice")
	h := n.open(t, rm)
	lacked := func() bool { return !h.t.ledger.pubs[c.Publisher.FullID].since.IsZero() }
	n.remove(t, rm, c.Publisher)
	if n.healAll(t.Context(), n.loaded(), false) || !lacked() {
		t.Fatal("the look that lacked alice went wrong")
	}
	srv.Stop()
	away := false
	for range 3 {
		if away = n.healAll(t.Context(), n.loaded(), away); !away || lacked() {
			t.Fatalf("away: %v, lacked: %v", away, lacked())
		}
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 1 {
		t.Fatalf("logged %d times: %s", got, log.String())
	}
}

func dialRedis(t *testing.T, url string) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(url, "redis://")})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// awaitReads waits until rooms have been read that often in all.
func awaitReads(t *testing.T, rdb *redis.Client, n int) {
	t.Helper()
	timeout := time.After(limit)
	for hgetalls(t, rdb) < n {
		select {
		case <-time.Tick(5 * time.Millisecond):
		case <-timeout:
			t.Fatalf("%d reads instead of %d", hgetalls(t, rdb), n)
		}
	}
}

// hgetalls is how often Redis was asked for a hash.
func hgetalls(t *testing.T, rdb *redis.Client) int {
	t.Helper()
	info, err := rdb.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for line := range strings.SplitSeq(info, "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_hgetall:calls="); ok {
			_, _ = fmt.Sscanf(rest, "%d", &calls)
		}
	}
	return calls
}
