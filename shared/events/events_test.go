package events

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"weever/shared/room"
)

func event(t testing.TB, kind Kind, fullID string, prev, seq int64) Event {
	t.Helper()
	id, err := room.ParseFullID(fullID)
	if err != nil {
		t.Fatal(err)
	}
	return Event{Prev: prev, Seq: seq, Kind: kind, Publisher: room.Publisher{
		FullID: id, Session: "s", Owner: room.Owner{Node: "n1", Instance: "i1", Epoch: 7}, Inc: 1763500000123457, State: room.Live,
		JoinedAt: time.UnixMicro(1763500000000001).UTC(),
		Tracks:   []room.Track{{ID: "video0", Kind: "video", Codec: "video/VP8", Clock: 90000, Layers: []string{"h", "l"}}},
	}}
}

func TestEventsKeepTheirMeaning(t *testing.T) {
	for _, ev := range []Event{
		event(t, Up, "alice+tab1", 0, 1),
		event(t, Left, "alice-screen", 1763500000123456, 1763500000123457),
		{Seq: 5, Kind: Left, Publisher: room.Publisher{FullID: event(t, Up, "bob", 0, 1).Publisher.FullID, Inc: 3}},
	} {
		text, err := encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode(text); err != nil || !reflect.DeepEqual(got, ev) {
			t.Errorf("%s became %+v, %v", text, got, err)
		}
	}
}

func TestBadEventsAreNeitherSentNorReceived(t *testing.T) {
	for name, spoil := range map[string]func(*Event){
		"no number":     func(ev *Event) { ev.Seq = 0 },
		"backwards":     func(ev *Event) { ev.Prev = ev.Seq },
		"negative":      func(ev *Event) { ev.Prev = -1 },
		"no full id":    func(ev *Event) { ev.Publisher.FullID = room.FullID{} },
		"no inc":        func(ev *Event) { ev.Publisher.Inc = 0 },
		"no session":    func(ev *Event) { ev.Publisher.Session = "" },
		"no owner":      func(ev *Event) { ev.Publisher.Owner.Instance = "" },
		"unknown kind":  func(ev *Event) { ev.Kind = "sideways" },
		"unknown state": func(ev *Event) { ev.Publisher.State = "pending" },
		"too large":     func(ev *Event) { ev.Publisher.Tracks[0].Fmtp = strings.Repeat("x", maxEvent) },
	} {
		ev := event(t, Up, "alice", 1, 2)
		spoil(&ev)
		if _, err := encode(ev); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{
		"", "null", "{}", "[]", "garbage", `{"seq":1,"kind":"left"}`, `{"seq":1,"kind":"left","publisher":{"full_id":"a b","inc":1}}`,
		`{"seq":1e99,"kind":"left","publisher":{"full_id":"a","inc":1}}`, strings.Repeat(" ", maxEvent+1),
	} {
		if ev, err := decode([]byte(text)); !errors.Is(err, ErrEvent) {
			t.Errorf("%.40q was read as %+v, %v", text, ev, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, ev := range []Event{event(f, Up, "alice+tab1", 0, 1), event(f, Left, "bob", 3, 4)} {
		text, err := encode(ev)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"seq":1,"kind":"up","publisher":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ev, err := decode(text)
		if err != nil {
			if !errors.Is(err, ErrEvent) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		again, err := encode(ev)
		if err != nil {
			t.Fatalf("read but not sendable: %v", err)
		}
		got, err := decode(again)
		if err != nil {
			t.Fatalf("sendable but not readable: %v", err)
		}
		if third, err := encode(got); err != nil || string(third) != string(again) {
			t.Fatalf("%s became %s, %v", again, third, err)
		}
	})
}
