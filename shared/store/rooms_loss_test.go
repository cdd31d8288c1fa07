package store

import (
	"errors"
	"testing"
	"time"

	"weever/shared/apierr"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

func testNumbersRiseWhenRedisIsEmptied(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	p := publisher(t, s, rm, "alice")
	before := mustLive(t, s, rm, p)
	epoch, err := s.StartEpoch(ctx, "n1")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if snap := mustSnapshot(t, s, rm); snap.Seq != 0 {
		t.Fatalf("an emptied Redis knows %+v", snap)
	}
	if _, err := s.UpdatePublisher(ctx, rm, p); !errors.Is(err, ErrGone) {
		t.Fatalf("update after the loss: %v", err)
	}
	back, err := s.RestorePublisher(ctx, rm, p)
	if err != nil || back.Prev != 0 || back.Seq <= before.Seq {
		t.Fatalf("restored with %+v, %v; before it was %d", back, err, before.Seq)
	}
	wantPublishers(t, s, rm, p)
	if rooms, _, err := s.Rooms(ctx, "", 10); err != nil || len(rooms) != 1 {
		t.Fatalf("the restored room is not listed: %v, %v", rooms, err)
	}
	if q := publisher(t, s, rm, "alice"); q.Inc <= p.Inc {
		t.Fatalf("incarnation %d after %d", q.Inc, p.Inc)
	}
	if again, err := s.StartEpoch(ctx, "n1"); err != nil || again <= epoch {
		t.Fatalf("epoch %d after %d, %v", again, epoch, err)
	}
}

func testEpochsRise(t *testing.T, s *Store) {
	last := int64(0)
	for range 20 {
		e, err := s.StartEpoch(t.Context(), "n1")
		if err != nil || e <= last {
			t.Fatalf("epoch %d after %d, %v", e, last, err)
		}
		last = e
	}
}

// A survivor took the node for dead and removed its publisher; the node is back and the person never went away.
func testRestoringAfterAnErrorOfOthers(t *testing.T, s *Store) {
	rm := roomtest.Name(t, "r")
	p := publisher(t, s, rm, "alice")
	mustLive(t, s, rm, p)
	if _, err := s.MarkAway(t.Context(), rm, p.FullID, p.Inc); err != nil {
		t.Fatal(err)
	}
	left, err := s.RemoveAway(t.Context(), rm, p.FullID, p.Inc)
	if err != nil {
		t.Fatal(err)
	}
	back, err := s.RestorePublisher(t.Context(), rm, p)
	if err != nil || back.Prev != left.Seq {
		t.Fatalf("restored with %+v, %v", back, err)
	}
	wantPublishers(t, s, rm, p)
}

func testCountersLastAsLongAsSomebodyPublishes(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	ttl := func(key string) time.Duration { return s.db.Client().TTL(ctx, s.key(rm, key)).Val() }
	p := publisher(t, s, rm, "alice")
	mustLive(t, s, rm, p)
	if ttl("seq") > 0 || ttl("pubs") > 0 {
		t.Fatalf("expire in %v and %v", ttl("seq"), ttl("pubs"))
	}
	if _, err := s.RemovePublisher(ctx, rm, p.FullID, p.Inc); err != nil {
		t.Fatal(err)
	}
	if ttl("seq") <= 0 || ttl("gone") <= 0 {
		t.Fatalf("an empty room keeps its counters: %v, %v", ttl("seq"), ttl("gone"))
	}
	mustLive(t, s, rm, publisher(t, s, rm, "alice"))
	if ttl("seq") > 0 {
		t.Fatalf("the counter of a room in use expires in %v", ttl("seq"))
	}
}

func TestRoomsWhileRedisIsAway(t *testing.T) {
	srv := testkit.StartRedis(t)
	s := openAt(t, srv.URL)
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	p := publisher(t, s, rm, "alice")
	srv.Stop()
	sub := room.Subscriber{FullID: p.FullID, Session: "s", Owner: p.Owner, JoinedAt: p.JoinedAt}
	for name, call := range map[string]func() error{
		"NextInc":          func() error { _, err := s.NextInc(ctx, rm); return err },
		"GoLive":           func() error { _, err := s.GoLive(ctx, rm, p); return err },
		"UpdatePublisher":  func() error { _, err := s.UpdatePublisher(ctx, rm, p); return err },
		"MarkAway":         func() error { _, err := s.MarkAway(ctx, rm, p.FullID, p.Inc); return err },
		"RemovePublisher":  func() error { _, err := s.RemovePublisher(ctx, rm, p.FullID, p.Inc); return err },
		"RestorePublisher": func() error { _, err := s.RestorePublisher(ctx, rm, p); return err },
		"AddSubscriber":    func() error { _, err := s.AddSubscriber(ctx, rm, sub); return err },
		"RemoveSubscriber": func() error { return s.RemoveSubscriber(ctx, rm, "s") },
		"Subscribers":      func() error { _, err := s.Subscribers(ctx, rm); return err },
		"Publishers":       func() error { _, err := s.Publishers(ctx, rm); return err },
		"Room":             func() error { _, err := s.Room(ctx, rm); return err },
		"Rooms":            func() error { _, _, err := s.Rooms(ctx, "", 1); return err },
		"RoomsOf":          func() error { _, err := s.RoomsOf(ctx, "i"); return err },
		"Forget":           func() error { return s.Forget(ctx, "i") },
		"StartEpoch":       func() error { _, err := s.StartEpoch(ctx, "n"); return err },
	} {
		t.Run(name, func(t *testing.T) { redisdbtest.WantCode(t, call(), apierr.Unavailable) })
	}
	srv.Start()
	for limit := time.After(10 * time.Second); s.db.Ping(ctx) != nil; { // the client dials again once a second
		select {
		case <-limit:
			t.Fatal("the store does not come back")
		case <-time.Tick(20 * time.Millisecond):
		}
	}
	mustLive(t, s, rm, p)
}
