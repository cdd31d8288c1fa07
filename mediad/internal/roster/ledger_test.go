package roster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/store"
)

const grace = 10 * time.Second

var start = time.UnixMicro(1763500000000000)

func record(t testing.TB, fullID string, inc int64) room.Publisher {
	t.Helper()
	id, err := room.ParseFullID(fullID)
	if err != nil {
		t.Fatal(err)
	}
	return room.Publisher{
		FullID: id, Session: fmt.Sprintf("s%d", inc), Owner: room.Owner{Node: "n1", Instance: "i1"}, Inc: inc, State: room.Live,
		JoinedAt: start.Add(time.Duration(inc)).UTC(),
	}
}

func up(t testing.TB, prev, seq int64, id string, inc int64) events.Event {
	return events.Event{Prev: prev, Seq: seq, Kind: events.Up, Publisher: record(t, id, inc)}
}

func left(t testing.TB, prev, seq int64, id string, inc int64) events.Event {
	return events.Event{Prev: prev, Seq: seq, Kind: events.Left, Publisher: record(t, id, inc)}
}

// names is what a ledger believes: "alice#3" per publisher, with "?" when unconfirmed.
func names(l *ledger) []string {
	v := l.view()
	list := []string{}
	for id, p := range v.Publishers {
		s := fmt.Sprintf("%s#%d", id, p.Inc)
		if _, lost := v.Unconfirmed[id]; lost {
			s += "?"
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

func wantNames(t *testing.T, l *ledger, want ...string) {
	t.Helper()
	if got := names(l); !slices.Equal(got, want) {
		t.Fatalf("the ledger believes in %v, want %v", got, want)
	}
}

func snapshot(seq int64, pubs ...room.Publisher) store.Snapshot {
	return store.Snapshot{Seq: seq, Publishers: pubs}
}

func TestEventsInAnyOrderAndTwice(t *testing.T) {
	all := []events.Event{
		up(t, 0, 10, "alice", 1), up(t, 10, 20, "bob", 2), up(t, 20, 30, "alice", 3), // alice came again
		left(t, 30, 40, "bob", 2), left(t, 40, 50, "carol", 1), up(t, 50, 60, "carol", 5),
	}
	for round := range 500 {
		rnd := rand.New(rand.NewPCG(1, uint64(round)))
		l := newLedger()
		shuffled := append(slices.Clone(all), all...)
		rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, ev := range shuffled {
			l.apply(ev, start)
		}
		wantNames(t, &l, "alice#3", "carol#5")
		if l.gap() || l.top != 60 {
			t.Fatalf("round %d: complete up to %d of %d", round, l.solid, l.top)
		}
	}
}

func TestOlderNeverBeatsNewer(t *testing.T) {
	for name, c := range map[string]struct {
		events []events.Event
		want   []string
	}{
		"an older incarnation that is told of later":    {[]events.Event{up(t, 0, 10, "a", 5), up(t, 10, 20, "a", 4)}, []string{"a#5"}},
		"the leaving of an older incarnation":           {[]events.Event{up(t, 0, 10, "a", 5), left(t, 10, 20, "a", 4)}, []string{"a#5"}},
		"the leaving of a newer one we never saw":       {[]events.Event{up(t, 0, 10, "a", 5), left(t, 20, 30, "a", 6)}, []string{}},
		"a late word of one that has left":              {[]events.Event{up(t, 0, 10, "a", 5), left(t, 20, 30, "a", 5), up(t, 10, 20, "a", 5)}, []string{}},
		"a late word of one older than that":            {[]events.Event{left(t, 20, 30, "a", 5), up(t, 30, 40, "a", 4)}, []string{}},
		"one that is restored after it has left":        {[]events.Event{up(t, 0, 10, "a", 5), left(t, 10, 20, "a", 5), up(t, 20, 30, "a", 5)}, []string{"a#5"}},
		"a leaving that is told of after the restoring": {[]events.Event{up(t, 20, 30, "a", 5), left(t, 10, 20, "a", 5)}, []string{"a#5"}},
	} {
		l := newLedger()
		for _, ev := range c.events {
			l.apply(ev, start)
		}
		if got := names(&l); !slices.Equal(got, c.want) {
			t.Errorf("%s: believes in %v, want %v", name, got, c.want)
		}
	}
}

func TestApplyTellsWhetherSomethingChanged(t *testing.T) {
	l := newLedger()
	first := up(t, 0, 10, "a", 5)
	if !l.apply(first, start) || l.apply(first, start) {
		t.Fatal("an event is news once")
	}
	away := up(t, 10, 20, "a", 5)
	away.Publisher.State = room.Away
	if !l.apply(away, start) || l.pubs[away.Publisher.FullID].pub.State != room.Away {
		t.Fatal("a new state is news")
	}
	same := away
	same.Prev, same.Seq = 20, 30
	if l.apply(same, start) {
		t.Fatal("the same record at a later step is no news")
	}
	if !l.apply(left(t, 30, 40, "a", 5), start) || l.apply(left(t, 40, 50, "a", 5), start) {
		t.Fatal("a leaving is news once")
	}
	if !l.apply(up(t, 50, 60, "a", 6), start) || len(l.gone) != 0 {
		t.Fatal("who is back is still remembered as gone")
	}
}

// What a publisher says of itself holds for the present incarnation, until Redis says something else.
func TestAmendments(t *testing.T) {
	l := newLedger()
	first := up(t, 0, 10, "a", 5)
	l.apply(first, start)
	before := l.view()
	now := record(t, "a", 5)
	now.Tracks = []room.Track{{ID: "video0", Layers: []string{"l"}}}
	older, newer, nobody, bad := now, now, now, now
	older.Inc, newer.Inc, nobody.FullID = 4, 6, record(t, "b", 5).FullID
	bad.Tracks = []room.Track{{ID: "video0\r\n"}}
	for _, p := range []room.Publisher{older, newer, nobody, bad} {
		if l.amend(p) {
			t.Errorf("%+v was taken in", p)
		}
	}
	if !l.amend(now) || l.amend(now) {
		t.Error("an amendment is news once")
	}
	if got := l.view().Publishers[now.FullID]; !reflect.DeepEqual(got, now) || before.Publishers[now.FullID].Tracks != nil {
		t.Errorf("the view has %+v, and the one before %+v", got, before.Publishers[now.FullID])
	}
	said := first
	said.Prev, said.Seq, said.Publisher = 10, 20, now
	if l.apply(said, start) || l.pubs[now.FullID].seq != 20 {
		t.Error("told again it is no news, but a step")
	}
	if !l.apply(up(t, 20, 30, "a", 5), start) || l.view().Publishers[now.FullID].Tracks != nil {
		t.Error("what was told later does not stand")
	}
}

func TestGapsAreSeen(t *testing.T) {
	l := newLedger()
	for _, c := range []struct {
		ev  events.Event
		gap bool
	}{
		{up(t, 0, 10, "a", 1), false},
		{up(t, 20, 30, "b", 2), true},  // 20 is missing
		{up(t, 10, 20, "c", 3), false}, // and was only late
		{up(t, 30, 40, "a", 4), false},
		{up(t, 0, 50, "a", 5), true}, // the history began anew
	} {
		l.apply(c.ev, start)
		if l.gap() != c.gap {
			t.Fatalf("after %d→%d: gap is %v", c.ev.Prev, c.ev.Seq, l.gap())
		}
	}
	l.merge(snapshot(50, record(t, "a", 5), record(t, "b", 2), record(t, "c", 3)), l.top, start, grace)
	if l.gap() {
		t.Fatal("a gap after a complete snapshot")
	}
	for i := range int64(10 * maxAhead) { // far ahead for ever: bounded, and still a gap
		l.apply(up(t, 1000+10*i, 1005+10*i, "a", 6+i), start)
	}
	if len(l.ahead) > maxAhead || !l.gap() {
		t.Fatalf("remembers %d steps, gap is %v", len(l.ahead), l.gap())
	}
}

func TestSnapshotsHealWhatWasLost(t *testing.T) {
	l := newLedger()
	l.apply(up(t, 0, 10, "a", 1), start)
	l.apply(up(t, 10, 20, "b", 2), start)
	// Lost: a came again as 3, c came. b left, and that is the one thing a snapshot does not prove at once.
	healed := snapshot(50, record(t, "a", 3), record(t, "c", 4))
	if !l.merge(healed, l.top, start, grace) {
		t.Fatal("the snapshot brought no news")
	}
	wantNames(t, &l, "a#3", "b#2?", "c#4")
	if l.merge(healed, l.top, start.Add(grace-1), grace) {
		t.Fatal("the same snapshot is news again")
	}
	if !l.merge(healed, l.top, start.Add(grace), grace) {
		t.Fatal("the end of the time of grace is no news")
	}
	wantNames(t, &l, "a#3", "c#4")
	if l.apply(up(t, 10, 20, "b", 2), start) || l.apply(up(t, 30, 40, "d", 9), start) {
		t.Fatal("an event from before the snapshot was taken for news")
	}
	if !l.apply(up(t, 50, 60, "b", 2), start) {
		t.Fatal("b cannot be restored")
	}
}

func TestASnapshotThatWasOvertaken(t *testing.T) {
	l := newLedger()
	l.apply(up(t, 0, 10, "a", 1), start)
	asked := l.top
	l.apply(up(t, 10, 20, "b", 2), start) // while the snapshot was on its way
	l.apply(left(t, 20, 30, "a", 1), start)
	for i := range time.Duration(3) {
		l.merge(snapshot(10, record(t, "a", 1)), asked, start.Add(i*grace), grace)
	}
	wantNames(t, &l, "b#2")
}

func TestAnEmptiedRedisRemovesNobody(t *testing.T) {
	l := newLedger()
	l.merge(snapshot(20, record(t, "a", 1), record(t, "b", 2)), 0, start, grace)
	now := start
	for range 20 { // empty
		now = now.Add(grace)
		l.merge(snapshot(0), l.top, now, grace)
		wantNames(t, &l, "a#1?", "b#2?")
	}
	// a is restored first; b's owner needs another moment.
	l.apply(up(t, 0, 100, "a", 1), now)
	l.merge(snapshot(100, record(t, "a", 1)), l.top, now, grace)
	wantNames(t, &l, "a#1", "b#2?")
	now = now.Add(grace / 2)
	l.merge(snapshot(110, record(t, "a", 1), record(t, "b", 2)), l.top, now, grace)
	wantNames(t, &l, "a#1", "b#2")
	if l.gap() {
		t.Fatal("a gap remains")
	}
}

func TestSnapshotsMustLackSomebodyInARow(t *testing.T) {
	for name, interruption := range map[string]func(l *ledger, now time.Time){
		"Redis away":    func(l *ledger, _ time.Time) { l.doubt() },
		"Redis emptied": func(l *ledger, now time.Time) { l.merge(snapshot(0), l.top, now, grace) },
		"Redis behind":  func(l *ledger, now time.Time) { l.merge(snapshot(5), l.top, now, grace) },
		"seen again":    func(l *ledger, now time.Time) { l.merge(snapshot(l.top, record(t, "a", 1)), l.top, now, grace) },
	} {
		l := newLedger()
		l.merge(snapshot(10, record(t, "a", 1)), 0, start, grace)
		now := start
		for range 5 {
			now = now.Add(grace)
			l.merge(snapshot(20), l.top, now, grace)
			interruption(&l, now)
		}
		if len(l.pubs) != 1 {
			t.Errorf("%s: removed all the same", name)
		}
	}
}

func TestNumbersThatBeganAnewAreFollowedInTheEnd(t *testing.T) {
	l := newLedger()
	l.merge(snapshot(1000, record(t, "a", 100), record(t, "b", 200)), 0, start, grace)
	for i := range patience {
		doubt := strings.Repeat("?", min(i, 1))
		wantNames(t, &l, "a#100"+doubt, "b#200"+doubt)
		l.merge(snapshot(500, record(t, "c", 50)), l.top, start, grace)
	}
	wantNames(t, &l, "a#100?", "b#200?", "c#50")
	if !l.apply(up(t, 500, 510, "d", 60), start) || l.gap() {
		t.Fatal("events are not followed")
	}
	l.merge(snapshot(510, record(t, "c", 50), record(t, "d", 60)), l.top, start.Add(grace), grace)
	wantNames(t, &l, "c#50", "d#60")
}

func TestUnsoundRecordsAreNotShown(t *testing.T) {
	bad := record(t, "a", 1)
	bad.Tracks = []room.Track{{ID: "video0", Kind: "video", Codec: "video/VP8", Fmtp: "x\r\na=evil"}}
	l := newLedger()
	l.apply(events.Event{Seq: 10, Kind: events.Up, Publisher: bad}, start)
	l.merge(snapshot(20, bad), 10, start, grace)
	wantNames(t, &l)
	bad.Tracks[0].Fmtp = "profile-level-id=42e01f;packetization-mode=1"
	l.merge(snapshot(30, bad), 20, start, grace)
	wantNames(t, &l, "a#1")
}

func TestMemoryOfTheDepartedIsBounded(t *testing.T) {
	l := newLedger()
	for i := range int64(3 * maxGone) {
		l.apply(left(t, i, i+1, fmt.Sprintf("a%d", i), i+1), start)
	}
	if len(l.gone) != maxGone {
		t.Fatalf("remembers %d", len(l.gone))
	}
	l.merge(snapshot(l.top), l.top, start.Add(goneKept+1), grace)
	if len(l.gone) != 0 {
		t.Fatalf("still remembers %d", len(l.gone))
	}
}

// A room lives through a random history while this node hears of it doubled, late, shuffled or not at all and looks into Redis
// now and then. In the end it knows the truth, and on the way it never dropped anybody who was there all the time.
func TestRandomHistoriesEndInTheTruth(t *testing.T) {
	for round := range 300 {
		rnd := rand.New(rand.NewPCG(7, uint64(round)))
		l := newLedger()
		truth := map[room.FullID]room.Publisher{}
		anchor := record(t, "anchor", 1)
		truth[anchor.FullID] = anchor
		seq, inc, now := int64(1), int64(1), start
		l.merge(snapshot(1, anchor), 0, now, grace)
		shot := func() store.Snapshot { return snapshot(seq, slices.Collect(maps.Values(truth))...) }
		var underway []events.Event
		for range 200 {
			now = now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			ev := events.Event{Prev: seq, Seq: seq + 1 + rnd.Int64N(5)}
			id := fmt.Sprintf("p%d", rnd.IntN(5))
			if p, ok := truth[record(t, id, 1).FullID]; ok && rnd.IntN(2) == 0 {
				ev.Kind, ev.Publisher = events.Left, p
				delete(truth, p.FullID)
			} else {
				inc++
				ev.Kind, ev.Publisher = events.Up, record(t, id, inc)
				truth[ev.Publisher.FullID] = ev.Publisher
			}
			seq = ev.Seq
			for range rnd.IntN(3) { // lost, once or twice
				underway = append(underway, ev)
			}
			for len(underway) > 0 && rnd.IntN(3) > 0 {
				i := rnd.IntN(len(underway))
				l.apply(underway[i], now)
				underway = slices.Delete(underway, i, i+1)
			}
			if rnd.IntN(10) == 0 {
				l.merge(shot(), l.top, now, grace)
			}
			if rnd.IntN(20) == 0 {
				l.doubt()
			}
			if _, ok := l.pubs[anchor.FullID]; !ok {
				t.Fatalf("round %d: who never left was dropped", round)
			}
		}
		for range 2 {
			l.merge(shot(), l.top, now, grace)
			now = now.Add(grace)
		}
		for _, ev := range underway { // too late to matter
			l.apply(ev, now)
		}
		v := l.view()
		if !reflect.DeepEqual(v.Publishers, truth) || len(v.Unconfirmed) != 0 || l.gap() {
			t.Fatalf("round %d: believes in %v (gap: %v), truth is %v", round, names(&l), l.gap(), truth)
		}
	}
}
