package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"weever/shared/apierr"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
)

// publisher is a record as a session of a node "n1" makes it, with an incarnation of its own.
func publisher(t *testing.T, s *Store, rm room.Name, fullID string) room.Publisher {
	t.Helper()
	inc, err := s.NextInc(t.Context(), rm)
	if err != nil {
		t.Fatal(err)
	}
	return room.Publisher{
		FullID:   roomtest.FullID(t, fullID),
		Session:  fmt.Sprintf("s%d", inc),
		Owner:    room.Owner{Node: "n1", Instance: "i1", Epoch: 1763500000123456},
		Inc:      inc,
		State:    room.Live,
		JoinedAt: time.UnixMicro(1763500000000000 + inc%1000000).UTC(),
		Tracks:   []room.Track{{ID: "video0", Kind: "video", Codec: "video/VP8", Clock: 90000, Layers: []string{"h", "l"}}},
	}
}

func mustLive(t *testing.T, s *Store, rm room.Name, p room.Publisher) LiveResult {
	t.Helper()
	res, err := s.GoLive(t.Context(), rm, p)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func mustSnapshot(t *testing.T, s *Store, rm room.Name) Snapshot {
	t.Helper()
	snap, err := s.Room(t.Context(), rm)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// wantPublishers fails the test unless the room holds exactly these records, in this order.
func wantPublishers(t *testing.T, s *Store, rm room.Name, want ...room.Publisher) {
	t.Helper()
	if got := mustSnapshot(t, s, rm).Publishers; !reflect.DeepEqual(got, append([]room.Publisher{}, want...)) {
		t.Fatalf("the room holds\n%+v, want\n%+v", got, want)
	}
}

func flush(t *testing.T, s *Store) {
	t.Helper()
	if err := s.db.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestRooms runs each test below against each kind of Redis, from empty.
func TestRooms(t *testing.T) {
	eachRedis(t, func(t *testing.T, s *Store) {
		for name, test := range map[string]func(t *testing.T, s *Store){
			"LifeOfAPublisher":                           testLifeOfAPublisher,
			"TwoPostsForOneFullIDInEitherOrder":          testTwoPostsForOneFullIDInEitherOrder,
			"AReloadedPageTakesThePlaceOfItsAwaySelf":    testAReloadedPageTakesThePlaceOfItsAwaySelf,
			"OnlyTheOwnerOfTheIncarnationChangesARecord": testOnlyTheOwnerOfTheIncarnationChangesARecord,
			"NumbersRiseWhenRedisIsEmptied":              testNumbersRiseWhenRedisIsEmptied,
			"EpochsRise":                                 testEpochsRise,
			"RestoringAfterAnErrorOfOthers":              testRestoringAfterAnErrorOfOthers,
			"CountersLastAsLongAsSomebodyPublishes":      testCountersLastAsLongAsSomebodyPublishes,
			"SubscribersAreOnePerSession":                testSubscribersAreOnePerSession,
			"RoomsArePagedAndEmptyOnesSkipped":           testRoomsArePagedAndEmptyOnesSkipped,
			"ManyAtOnce":                                 testManyAtOnce,
			"OneEntersWhileTheLastLeaves":                testOneEntersWhileTheLastLeaves,
			"ForeignRecordsAreSkipped":                   testForeignRecordsAreSkipped,
			"ASpoiltRecordCanBeRemoved":                  testASpoiltRecordCanBeRemoved,
			"RoomsOfAnInstance":                          testRoomsOfAnInstance,
			"NoteWithoutARecord":                         testNoteWithoutARecord,
			"WhoTakesAPlaceTakesTheNoteAway":             testWhoTakesAPlaceTakesTheNoteAway,
			"TheNoteIsThereBeforeTheRecord":              testTheNoteIsThereBeforeTheRecord,
			"OneIsRestoredWhileItIsRemoved":              testOneIsRestoredWhileItIsRemoved,
			"Forgetting":                                 testForgetting,
		} {
			flush(t, s)
			t.Run(name, func(t *testing.T) { test(t, s) })
		}
	})
}

func testLifeOfAPublisher(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	if snap := mustSnapshot(t, s, rm); snap.Seq != 0 || len(snap.Publishers) != 0 {
		t.Fatalf("an unknown room gave %+v", snap)
	}
	p := publisher(t, s, rm, "alice+tab1")
	if keys := s.db.Client().Keys(ctx, "*").Val(); len(keys) != 1 {
		t.Fatalf("a pending publisher left %v in Redis", keys)
	}
	live := mustLive(t, s, rm, p)
	if live.Seq == 0 || live.Prev != 0 || live.Replaced != nil || live.Left != nil || !reflect.DeepEqual(live.Publisher, p) {
		t.Fatalf("going live gave %+v", live)
	}
	wantPublishers(t, s, rm, p)

	p.Tracks = append(p.Tracks, room.Track{ID: "audio0", Kind: "audio", Codec: "audio/opus", Clock: 48000, Chans: 2})
	up, err := s.UpdatePublisher(ctx, rm, p)
	if err != nil || up.Prev != live.Seq || up.Seq <= live.Seq || !reflect.DeepEqual(up.Publisher, p) {
		t.Fatalf("update gave %+v, %v", up, err)
	}

	if _, err := s.RemoveAway(ctx, rm, p.FullID, p.Inc); !errors.Is(err, ErrGone) {
		t.Fatalf("one who is live was removed as away: %v", err)
	}
	away, err := s.MarkAway(ctx, rm, p.FullID, p.Inc)
	p.State = room.Away
	if err != nil || away.Prev != up.Seq || !reflect.DeepEqual(away.Publisher, p) {
		t.Fatalf("away gave %+v, %v", away, err)
	}
	if again, err := s.MarkAway(ctx, rm, p.FullID, p.Inc); err != nil || again.Seq != 0 || !reflect.DeepEqual(again.Publisher, p) {
		t.Fatalf("away again gave %+v, %v", again, err)
	}
	wantPublishers(t, s, rm, p)

	left, err := s.RemovePublisher(ctx, rm, p.FullID, p.Inc)
	if err != nil || left.Prev != away.Seq || !reflect.DeepEqual(left.Publisher, p) {
		t.Fatalf("removal gave %+v, %v", left, err)
	}
	if snap := mustSnapshot(t, s, rm); snap.Seq != left.Seq || len(snap.Publishers) != 0 {
		t.Fatalf("after removal: %+v", snap)
	}
}

func testTwoPostsForOneFullIDInEitherOrder(t *testing.T, s *Store) {
	t.Run("earlier first", func(t *testing.T) {
		rm := roomtest.Name(t, "a")
		first, second := publisher(t, s, rm, "alice"), publisher(t, s, rm, "alice")
		if second.Inc <= first.Inc {
			t.Fatalf("the later POST has %d, the earlier %d", second.Inc, first.Inc)
		}
		mustLive(t, s, rm, first)
		live := mustLive(t, s, rm, second)
		if live.Replaced == nil || !reflect.DeepEqual(*live.Replaced, first) {
			t.Fatalf("replaced %+v", live.Replaced)
		}
		second.JoinedAt = first.JoinedAt // the same person goes on
		wantPublishers(t, s, rm, second)
	})
	t.Run("later first", func(t *testing.T) {
		rm := roomtest.Name(t, "b")
		first, second := publisher(t, s, rm, "alice"), publisher(t, s, rm, "alice")
		seq := mustLive(t, s, rm, second).Seq
		_, err := s.GoLive(t.Context(), rm, first)
		redisdbtest.WantCode(t, err, apierr.Superseded)
		wantPublishers(t, s, rm, second)
		if snap := mustSnapshot(t, s, rm); snap.Seq != seq {
			t.Fatalf("a refusal moved the counter from %d to %d", seq, snap.Seq)
		}
	})
	t.Run("later came and left", func(t *testing.T) {
		rm := roomtest.Name(t, "c")
		first, second := publisher(t, s, rm, "alice"), publisher(t, s, rm, "alice")
		mustLive(t, s, rm, second)
		if _, err := s.RemovePublisher(t.Context(), rm, second.FullID, second.Inc); err != nil {
			t.Fatal(err)
		}
		_, err := s.GoLive(t.Context(), rm, first)
		redisdbtest.WantCode(t, err, apierr.Superseded)
		if _, err := s.RestorePublisher(t.Context(), rm, first); !errors.Is(err, ErrGone) {
			t.Fatalf("restoring the older one: %v", err)
		}
		mustLive(t, s, rm, publisher(t, s, rm, "alice"))
	})
	t.Run("repeated", func(t *testing.T) {
		rm := roomtest.Name(t, "d")
		p := publisher(t, s, rm, "alice")
		one, two := mustLive(t, s, rm, p), mustLive(t, s, rm, p)
		if two.Replaced != nil || two.Prev != one.Seq {
			t.Fatalf("the repetition gave %+v", two)
		}
		wantPublishers(t, s, rm, p)
	})
}

func testAReloadedPageTakesThePlaceOfItsAwaySelf(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	var all []room.Publisher
	for _, id := range []string{"alice+1", "alice+2", "alice+3", "alice-screen+1", "alicia+1"} {
		p := publisher(t, s, rm, id)
		mustLive(t, s, rm, p)
		all = append(all, p)
	}
	var last Change
	for _, i := range []int{0, 1, 3, 4} { // alice+3 stays live
		var err error
		if last, err = s.MarkAway(ctx, rm, all[i].FullID, all[i].Inc); err != nil {
			t.Fatal(err)
		}
	}
	late := publisher(t, s, rm, "alice+1") // pending while the page is reloaded once more
	live := mustLive(t, s, rm, publisher(t, s, rm, "alice+4"))
	if len(live.Left) != 2 {
		t.Fatalf("left: %+v", live.Left)
	}
	prev := last.Seq
	for _, c := range append(slices.Clone(live.Left), live.Change) {
		if c.Prev != prev || c.Seq <= c.Prev {
			t.Fatalf("the steps are not a chain from %d: %+v", last.Seq, live)
		}
		prev = c.Seq
	}
	if got := mustSnapshot(t, s, rm); got.Seq != live.Seq {
		t.Fatalf("the room is at %d, the last step was %d", got.Seq, live.Seq)
	}
	ids := map[string]room.State{}
	for _, p := range mustSnapshot(t, s, rm).Publishers {
		ids[p.FullID.String()] = p.State
	}
	want := map[string]room.State{"alice+3": "live", "alice+4": "live", "alice-screen+1": "away", "alicia+1": "away"}
	if !reflect.DeepEqual(ids, want) {
		t.Fatalf("the room holds %v, want %v", ids, want)
	}
	if _, err := s.UpdatePublisher(ctx, rm, all[0]); !errors.Is(err, ErrGone) {
		t.Fatalf("the old page's session may still write: %v", err)
	}
	mustLive(t, s, rm, late)
}

func testOnlyTheOwnerOfTheIncarnationChangesARecord(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	old, p := publisher(t, s, rm, "alice"), publisher(t, s, rm, "alice")
	mustLive(t, s, rm, old)
	mustLive(t, s, rm, p)
	p.JoinedAt = old.JoinedAt
	seq := mustSnapshot(t, s, rm).Seq

	stranger := p
	stranger.Owner.Instance = "i2"
	absent := publisher(t, s, rm, "bob")
	for name, try := range map[string]func() (Change, error){
		"update by the old":    func() (Change, error) { return s.UpdatePublisher(ctx, rm, old) },
		"update by a stranger": func() (Change, error) { return s.UpdatePublisher(ctx, rm, stranger) },
		"update of nobody":     func() (Change, error) { return s.UpdatePublisher(ctx, rm, absent) },
		"away of the old":      func() (Change, error) { return s.MarkAway(ctx, rm, old.FullID, old.Inc) },
		"away of nobody":       func() (Change, error) { return s.MarkAway(ctx, rm, absent.FullID, absent.Inc) },
		"removal of the old":   func() (Change, error) { return s.RemovePublisher(ctx, rm, old.FullID, old.Inc) },
		"removal of nobody":    func() (Change, error) { return s.RemovePublisher(ctx, rm, absent.FullID, absent.Inc) },
		"restoring the old":    func() (Change, error) { return s.RestorePublisher(ctx, rm, old) },
	} {
		if c, err := try(); !errors.Is(err, ErrGone) || c.Seq != 0 {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	wantPublishers(t, s, rm, p)
	if got := mustSnapshot(t, s, rm).Seq; got != seq {
		t.Fatalf("the counter went from %d to %d", seq, got)
	}
}
