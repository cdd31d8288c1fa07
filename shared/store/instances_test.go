package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/room/roomtest"
)

// wantRooms fails the test unless RoomsOf gives exactly these.
func wantRooms(t *testing.T, s *Store, instance string, want ...string) {
	t.Helper()
	rooms, err := s.RoomsOf(t.Context(), instance)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rm := range rooms {
		got = append(got, rm.String())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s has records in %v, want %v", instance, got, want)
	}
}

// wantNoKey fails the test when an instance without records left something behind.
func wantNoKey(t *testing.T, s *Store, instance string) {
	t.Helper()
	wantRooms(t, s, instance)
	if n, err := s.db.Client().Exists(t.Context(), s.instanceKey(instance)).Result(); n != 0 || err != nil {
		t.Fatalf("the key of %s is still there: %v", instance, err)
	}
}

func testRoomsOfAnInstance(t *testing.T, s *Store) {
	ctx, a, b := t.Context(), roomtest.Name(t, "a"), roomtest.Name(t, "b")
	alice, bob := publisher(t, s, a, "alice"), publisher(t, s, b, "bob")
	wantNoKey(t, s, "i1") // pending publishers have no record
	mustLive(t, s, b, bob)
	mustLive(t, s, a, alice)
	sub := room.Subscriber{FullID: roomtest.FullID(t, "carol"), Session: "c1", Owner: alice.Owner, JoinedAt: time.Now()}
	for range 2 { // the second time it restores
		inc, err := s.AddSubscriber(ctx, a, sub)
		if err != nil {
			t.Fatal(err)
		}
		sub.Inc = inc
	}
	wantRooms(t, s, "i1", "a", "b")
	wantRooms(t, s, "i2")
	if _, err := s.RemovePublisher(ctx, a, alice.FullID, alice.Inc); err != nil {
		t.Fatal(err)
	}
	wantRooms(t, s, "i1", "a", "b")
	if err := s.RemoveSubscriber(ctx, a, "c1"); err != nil {
		t.Fatal(err)
	}
	wantRooms(t, s, "i1", "b")
	if _, err := s.RemovePublisher(ctx, b, bob.FullID, bob.Inc); err != nil {
		t.Fatal(err)
	}
	wantNoKey(t, s, "i1")
}

// The note is written before the record: what failed in between is taken back by whoever knows that it failed.
func testNoteWithoutARecord(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	p := publisher(t, s, rm, "alice")
	for _, session := range []string{"s1", "s2"} {
		if err := s.enter(ctx, rm, p.Owner, session); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Unnote(ctx, rm, p.Owner, "s1"); err != nil {
		t.Fatal(err)
	}
	wantRooms(t, s, "i1", "r")
	for range 2 { // twice does no harm
		if err := s.Unnote(ctx, rm, p.Owner, "s2"); err != nil {
			t.Fatal(err)
		}
	}
	wantNoKey(t, s, "i1")
}

func testWhoTakesAPlaceTakesTheNoteAway(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	old, away := publisher(t, s, rm, "alice"), publisher(t, s, rm, "alice+1")
	away.Owner.Instance = "i2"
	mustLive(t, s, rm, old)
	mustLive(t, s, rm, away)
	if _, err := s.MarkAway(ctx, rm, away.FullID, away.Inc); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, s, rm, "alice")
	p.Owner.Instance = "i3"
	if live := mustLive(t, s, rm, p); live.Replaced == nil || len(live.Left) != 1 {
		t.Fatalf("got %+v", live)
	}
	wantNoKey(t, s, "i1")
	wantNoKey(t, s, "i2")
	wantRooms(t, s, "i3", "r")
	// Who has lost the place and does not know it yet leaves nothing.
	if _, err := s.RestorePublisher(ctx, rm, old); !errors.Is(err, ErrGone) {
		t.Fatalf("restored: %v", err)
	}
	wantNoKey(t, s, "i1")
	if _, err := s.GoLive(ctx, rm, old); apierr.From(err).Code != apierr.Superseded {
		t.Fatalf("went live: %v", err)
	}
	wantNoKey(t, s, "i1")
	wantRooms(t, s, "i3", "r")
}

// before runs act once, before the first command of that name.
type before struct {
	name string
	act  func()
}

func (h *before) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *before) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *before) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if act := h.act; cmd.Name() == h.name && act != nil {
			h.act = nil
			act()
		}
		return next(ctx, cmd)
	}
}

func testTheNoteIsThereBeforeTheRecord(t *testing.T, s *Store) {
	ctx := t.Context()
	for name, write := range map[string]func(rm room.Name, p room.Publisher) error{
		"golive":  func(rm room.Name, p room.Publisher) error { _, err := s.GoLive(ctx, rm, p); return err },
		"restore": func(rm room.Name, p room.Publisher) error { _, err := s.RestorePublisher(ctx, rm, p); return err },
		"sub": func(rm room.Name, p room.Publisher) error {
			_, err := s.AddSubscriber(ctx, rm, room.Subscriber{FullID: p.FullID, Session: p.Session, Owner: p.Owner, JoinedAt: p.JoinedAt})
			return err
		},
	} {
		rm := roomtest.Name(t, name)
		p := publisher(t, s, rm, "alice")
		p.Owner.Instance = name
		hook := &before{name: "evalsha", act: func() {
			wantRooms(t, s, name, name)
			if n, err := s.db.Client().Exists(ctx, s.key(rm, "pubs"), s.key(rm, "subs")).Result(); n != 0 || err != nil {
				t.Errorf("%s: the record was first, %v", name, err)
			}
		}}
		s.db.Client().AddHook(hook)
		if err := write(rm, p); err != nil || hook.act != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantRooms(t, s, name, name)
	}
}

// A survivor takes a node for dead in error, and the session writes its record again while the survivor is still at it.
func testOneIsRestoredWhileItIsRemoved(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	p := publisher(t, s, rm, "alice")
	sub := room.Subscriber{FullID: p.FullID, Session: "v", Owner: room.Owner{Instance: "i2"}, JoinedAt: p.JoinedAt}
	mustLive(t, s, rm, p)
	var err error
	if sub.Inc, err = s.AddSubscriber(ctx, rm, sub); err != nil {
		t.Fatal(err)
	}
	hook := &before{name: "srem", act: func() {
		if _, err := s.RestorePublisher(ctx, rm, p); err != nil {
			t.Error(err)
		}
	}}
	s.db.Client().AddHook(hook)
	if _, err := s.RemovePublisher(ctx, rm, p.FullID, p.Inc); err != nil || hook.act != nil {
		t.Fatal(err)
	}
	wantRooms(t, s, "i1", "r")
	hook.act = func() {
		if _, err := s.AddSubscriber(ctx, rm, sub); err != nil {
			t.Error(err)
		}
	}
	if err := s.RemoveSubscriber(ctx, rm, "v"); err != nil || hook.act != nil {
		t.Fatal(err)
	}
	wantRooms(t, s, "i2", "r")
}

func testForgetting(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	if err := s.Forget(ctx, "i1"); err != nil { // nothing there
		t.Fatal(err)
	}
	mustLive(t, s, rm, publisher(t, s, rm, "alice"))
	if err := s.db.Client().SAdd(ctx, s.instanceKey("i1"), "no*room s", "", "r", "other s").Err(); err != nil {
		t.Fatal(err)
	}
	wantRooms(t, s, "i1", "other", "r")
	if err := s.Forget(ctx, "i1"); err != nil {
		t.Fatal(err)
	}
	ttl := func() time.Duration { return s.db.Client().TTL(ctx, s.instanceKey("i1")).Val() }
	if d := ttl(); d <= 0 || d > forgottenAfter {
		t.Fatalf("forgotten after %v", d)
	}
	mustLive(t, s, rm, publisher(t, s, rm, "bob")) // it lives after all
	if d := ttl(); d > 0 {
		t.Fatalf("a live instance is forgotten after %v", d)
	}
}
