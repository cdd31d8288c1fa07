package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/room/roomtest"
)

func testSubscribersAreOnePerSession(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	sub := room.Subscriber{
		FullID: roomtest.FullID(t, "bob"), Session: "s1", Owner: room.Owner{Node: "n1", Instance: "i1"},
		JoinedAt: time.UnixMicro(1763500000000000).UTC(),
	}
	one, err := s.AddSubscriber(ctx, rm, sub)
	if err != nil {
		t.Fatal(err)
	}
	twin := sub
	twin.Session = "s2"
	two, err := s.AddSubscriber(ctx, rm, twin)
	if err != nil || two <= one {
		t.Fatalf("incarnation %d after %d, %v", two, one, err)
	}
	sub.Inc, twin.Inc = one, two
	flush(t, s)
	for _, lost := range []room.Subscriber{twin, sub} { // restored with what they had
		if inc, err := s.AddSubscriber(ctx, rm, lost); err != nil || inc != lost.Inc {
			t.Fatalf("restored with %d, %v; want %d", inc, err, lost.Inc)
		}
	}
	list, err := s.Subscribers(ctx, rm)
	if err != nil || !reflect.DeepEqual(list, []room.Subscriber{sub, twin}) {
		t.Fatalf("got %+v, %v", list, err)
	}
	if n, err := s.CountSubscribers(ctx, rm); n != 2 || err != nil {
		t.Fatalf("counted %d, %v", n, err)
	}
	for range 2 { // removing twice is no error
		if err := s.RemoveSubscriber(ctx, rm, "s1"); err != nil {
			t.Fatal(err)
		}
	}
	if list, err = s.Subscribers(ctx, rm); err != nil || !reflect.DeepEqual(list, []room.Subscriber{twin}) {
		t.Fatalf("got %+v, %v", list, err)
	}
	for name, want := range map[string]int{"r": 1, "nobody": 0} {
		if n, err := s.CountSubscribers(ctx, roomtest.Name(t, name)); n != want || err != nil {
			t.Fatalf("counted %d in %s, %v", n, name, err)
		}
	}
}

func testRoomsArePagedAndEmptyOnesSkipped(t *testing.T, s *Store) {
	ctx := t.Context()
	var want []RoomCount
	for i := range 23 {
		rm := roomtest.Name(t, fmt.Sprintf("room%02d", i))
		p := publisher(t, s, rm, "alice")
		mustLive(t, s, rm, p)
		if i%3 == 0 {
			if _, err := s.RemovePublisher(ctx, rm, p.FullID, p.Inc); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want = append(want, RoomCount{Room: rm, Publishers: 1})
	}
	// Entries that a failure left behind, and one that another program wrote.
	for _, stale := range []string{"room03", "room99", "no room!"} {
		if err := s.db.Client().ZAdd(ctx, s.roomsKey(), redis.Z{Member: stale}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for limit := 1; limit <= 30; limit++ {
		var got []RoomCount
		after, pages := "", 0
		for {
			page, next, err := s.Rooms(ctx, after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("a page of %d: %v, %v", limit, page, err)
			}
			got = append(got, page...)
			if after = next; after == "" {
				break
			}
			if pages++; pages > 30 {
				t.Fatal("the pages do not end")
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("pages of %d gave %v, want %v", limit, got, want)
		}
	}
	page, next, err := s.Rooms(ctx, "room98", 10)
	if text, _ := json.Marshal(page); err != nil || next != "" || string(text) != "[]" {
		t.Fatalf("behind the last: %s, %q, %v", text, next, err)
	}
}

// hammerRoom lets many clients go through the life of a few publishers at once and checks what they were told.
func hammerRoom(t *testing.T, s *Store, rm room.Name, workers, rounds int) {
	var mu sync.Mutex
	chain := map[int64]int64{} // previous number → number
	note := func(changes ...Change) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range changes {
			if c.Seq == 0 {
				continue
			}
			if c.Seq <= c.Prev {
				t.Errorf("step from %d to %d", c.Prev, c.Seq)
			}
			if other, twice := chain[c.Prev]; twice {
				t.Errorf("%d and %d both follow %d", other, c.Seq, c.Prev)
			}
			chain[c.Prev] = c.Seq
		}
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				ctx := context.WithoutCancel(t.Context())
				p := publisher(t, s, rm, fmt.Sprintf("alice+%d", (w+i)%4))
				live, err := s.GoLive(ctx, rm, p)
				if err != nil {
					if apierr.From(err).Code != apierr.Superseded {
						t.Error(err)
					}
					continue
				}
				note(append(slices.Clone(live.Left), live.Change)...)
				away, err := s.MarkAway(ctx, rm, p.FullID, p.Inc)
				note(away)
				if err != nil && !errors.Is(err, ErrGone) {
					t.Error(err)
				}
				if i%2 == 0 {
					left, err := s.RemovePublisher(ctx, rm, p.FullID, p.Inc)
					note(left)
					if err != nil && !errors.Is(err, ErrGone) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	seq, steps := int64(0), 0
	for next, ok := chain[0]; ok; next, ok = chain[seq] {
		seq, steps = next, steps+1
	}
	if snap := mustSnapshot(t, s, rm); seq != snap.Seq || steps != len(chain) {
		t.Fatalf("the chain of steps ends at %d after %d of %d; the room is at %d", seq, steps, len(chain), snap.Seq)
	}
}

func testManyAtOnce(t *testing.T, s *Store) {
	rm := roomtest.Name(t, "r")
	hammerRoom(t, s, rm, 8, 40)
}

func testOneEntersWhileTheLastLeaves(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	sub := func(session string) room.Subscriber {
		return room.Subscriber{FullID: roomtest.FullID(t, "bob"), Session: session, Owner: room.Owner{Instance: "i"}, JoinedAt: time.Now()}
	}
	listed := func() bool { return slices.Contains(s.db.Client().ZRange(ctx, s.roomsKey(), 0, -1).Val(), "r") }
	if _, err := s.AddSubscriber(ctx, rm, sub("s1")); err != nil || !listed() {
		t.Fatalf("%v, listed: %v", err, listed())
	}
	hook := &before{name: "zrem", act: func() {
		if _, err := s.AddSubscriber(ctx, rm, sub("s2")); err != nil {
			t.Error(err)
		}
	}}
	s.db.Client().AddHook(hook)
	if err := s.RemoveSubscriber(ctx, rm, "s1"); err != nil || hook.act != nil || !listed() {
		t.Fatalf("%v; a room with a subscriber is listed: %v", err, listed())
	}
	if err := s.RemoveSubscriber(ctx, rm, "s2"); err != nil || listed() {
		t.Fatalf("%v; an empty room is listed: %v", err, listed())
	}
}
