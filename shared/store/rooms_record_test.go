package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"weever/shared/apierr"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/room"
	"weever/shared/room/roomtest"
)

func testForeignRecordsAreSkipped(t *testing.T, s *Store) {
	ctx, rm := t.Context(), roomtest.Name(t, "r")
	p := publisher(t, s, rm, "alice")
	for field, raw := range map[string]string{
		"alice": "garbage", "alice+1": `{"full_id":"alice+1"}`, "": "", "x y": "1 1 1 away i {}", "alice+2": "1 5 5 away i {broken",
		"alice+3": "1 99999999999999999999 1 away i {}", "+": "1 1 1 away i null",
	} {
		if err := s.db.Client().HSet(ctx, s.key(rm, "pubs"), field, raw).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Client().Set(ctx, s.key(rm, "seq"), "many", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Client().HSet(ctx, s.key(rm, "subs"), "s", "1 1 {}", "t", "").Err(); err != nil {
		t.Fatal(err)
	}
	live := mustLive(t, s, rm, p)
	if live.Seq == 0 || live.Replaced != nil {
		t.Fatalf("going live among garbage gave %+v", live)
	}
	snap := mustSnapshot(t, s, rm)
	if snap.Seq != live.Seq || !reflect.DeepEqual(snap.Publishers, []room.Publisher{p}) || snap.Skipped == 0 {
		t.Fatalf("got %+v", snap)
	}
	if list, err := s.Publishers(ctx, rm); err != nil || len(list) != 1 {
		t.Fatalf("publishers: %v, %v", list, err)
	}
	if list, err := s.Subscribers(ctx, rm); err != nil || len(list) != 0 {
		t.Fatalf("subscribers: %v, %v", list, err)
	}
}

// A record whose JSON is spoilt can still be removed by who knows its incarnation.
func testASpoiltRecordCanBeRemoved(t *testing.T, s *Store) {
	rm := roomtest.Name(t, "r")
	if err := s.db.Client().HSet(t.Context(), s.key(rm, "pubs"), "alice", "1 5 5 live i {broken").Err(); err != nil {
		t.Fatal(err)
	}
	c, err := s.RemovePublisher(t.Context(), rm, roomtest.FullID(t, "alice"), 5)
	if err != nil || c.Seq == 0 || c.Publisher.FullID.String() != "alice" || c.Publisher.Inc != 5 {
		t.Fatalf("got %+v, %v", c, err)
	}
}

func TestRecordsThatCannotBeWritten(t *testing.T) {
	s := openAt(t, "redis://127.0.0.1:1") // refused before anything is sent
	rm := roomtest.Name(t, "r")
	good := room.Publisher{
		FullID: roomtest.FullID(t, "alice"), Session: "s", Owner: room.Owner{Instance: "i"}, Inc: 1, State: room.Live, JoinedAt: time.Now(),
	}
	for name, spoil := range map[string]func(p *room.Publisher){
		"no full id":       func(p *room.Publisher) { p.FullID = room.FullID{} },
		"no session":       func(p *room.Publisher) { p.Session = "" },
		"no instance":      func(p *room.Publisher) { p.Owner.Instance = "" },
		"instance of two":  func(p *room.Publisher) { p.Owner.Instance = "a b" },
		"no incarnation":   func(p *room.Publisher) { p.Inc = 0 },
		"huge incarnation": func(p *room.Publisher) { p.Inc = 1 << 60 },
		"no time":          func(p *room.Publisher) { p.JoinedAt = time.Time{} },
		"no state":         func(p *room.Publisher) { p.State = "" },
		"too large": func(p *room.Publisher) {
			p.Session = "s"
			p.Tracks = []room.Track{{Fmtp: strings.Repeat("x", maxRecord)}}
		},
	} {
		p := good
		spoil(&p)
		if _, err := s.RestorePublisher(t.Context(), rm, p); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.AddSubscriber(t.Context(), rm, room.Subscriber{Session: "s"}); !errors.Is(err, errRecord) {
		t.Errorf("subscriber without a full id: %v", err)
	}
	_, err := s.RestorePublisher(t.Context(), rm, good)
	redisdbtest.WantCode(t, err, apierr.Unavailable)
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add("alice", `1 1763500000123456 1763500000000000 live i1 {"full_id":"alice","session":"s","owner":{"node":"n"},"tracks":[{"id":"video0"}]}`)
	f.Add("s", `1 1763500000123456 {"full_id":"alice","session":"s","owner":{"node":"n","instance":"i1"}}`)
	f.Add("alice", "1 1 1 away i null")
	f.Add("", "1     ")
	f.Add("a", "1 1e3 -1 gone  {}")
	f.Fuzz(func(t *testing.T, field, raw string) {
		if p, err := decodePublisher(field, raw); err == nil {
			body, err := encodePublisher(p)
			if p.JoinedAt.UnixMicro() <= 0 {
				return // read, but never written like that
			}
			if err != nil {
				t.Fatalf("read but not writable: %v", err)
			}
			again := fmt.Sprintf("1 %d %d %s %s %s", p.Inc, p.JoinedAt.UnixMicro(), p.State, p.Owner.Instance, body)
			q, err := decodePublisher(field, again)
			if err != nil {
				t.Fatalf("written but not readable: %v", err)
			}
			if second, err := encodePublisher(q); err != nil || second != body {
				t.Fatalf("%s became %s, %v", body, second, err)
			}
		} else if !errors.Is(err, errRecord) {
			t.Fatalf("an error of another kind: %v", err)
		}
		if s, err := decodeSubscriber(field, raw); err == nil && (s.Session != field || s.Inc <= 0 || s.FullID.IsZero()) {
			t.Fatalf("accepted %+v", s)
		}
	})
}
