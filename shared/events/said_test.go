package events

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weever/shared/room/roomtest"
	"weever/shared/testkit"
)

func said(t testing.TB, from, text string) Said {
	t.Helper()
	return Said{Instance: "0123456789abcdef", From: event(t, Up, from, 0, 1).Publisher.FullID, JSON: json.RawMessage(text)}
}

func TestWhatIsSaidKeepsItsBytes(t *testing.T) {
	for _, text := range []string{`{"a":1}`, `"<b> & ü ` + "\u2028" + `"`, "null", " [ 1 ,\n2 ] ", `"` + strings.Repeat("x", MaxSaid-2) + `"`} {
		s := said(t, "alice+tab1", text)
		b, err := encodeSaid(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeSaid(b); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%.60s became %.60s, %v", b, got.JSON, err)
		}
	}
}

func TestWhatCannotBeSaid(t *testing.T) {
	for name, spoil := range map[string]func(*Said){
		"no instance":     func(s *Said) { s.Instance = "" },
		"odd instance":    func(s *Said) { s.Instance = "a b" },
		"long instance":   func(s *Said) { s.Instance = strings.Repeat("a", maxInstance+1) },
		"nobody":          func(s *Said) { s.From = Said{}.From },
		"nothing":         func(s *Said) { s.JSON = nil },
		"no JSON":         func(s *Said) { s.JSON = json.RawMessage("{") },
		"two values":      func(s *Said) { s.JSON = json.RawMessage("1 2") },
		"not UTF-8":       func(s *Said) { s.JSON = json.RawMessage("\"\xff\"") },
		"one byte beyond": func(s *Said) { s.JSON = json.RawMessage(`"` + strings.Repeat("x", MaxSaid-1) + `"`) },
	} {
		s := said(t, "alice", "1")
		spoil(&s)
		if _, err := encodeSaid(s); !errors.Is(err, ErrEvent) {
			t.Errorf("%s is sent: %v", name, err)
		}
		text := s.Instance + " " + s.From.String() + " " + string(s.JSON)
		if got, err := decodeSaid([]byte(text)); !errors.Is(err, ErrEvent) {
			t.Errorf("%s was read as %+v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", " ", "  ", "a", "a alice", "a alice ", "a  1", " alice 1", "a al*ce 1", "A alice 1", strings.Repeat(" ", 20000)} {
		if got, err := decodeSaid([]byte(text)); !errors.Is(err, ErrEvent) {
			t.Errorf("%.40q was read as %+v, %v", text, got, err)
		}
	}
}

func FuzzDecodeSaid(f *testing.F) {
	for _, s := range []Said{said(f, "alice+tab1", `{"a":[1,"ü"]}`), said(f, "bob-screen", " null\n")} {
		text, err := encodeSaid(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("a alice  1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := decodeSaid(text)
		if err != nil {
			if !errors.Is(err, ErrEvent) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if again, err := encodeSaid(s); err != nil || string(again) != string(text) {
			t.Fatalf("%q became %q, %v", text, again, err)
		}
	})
}

func TestWhatIsSaidReachesItsRoomInOrder(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		url := testkit.NATS(t)
		a, b := bus(t, url), bus(t, url)
		here, elsewhere := roomtest.Name(t, "here"), roomtest.Name(t, "elsewhere")
		got := make(chan Said, 100)
		stop, err := b.SubscribeSaid(here, func(s Said) { got <- s })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		events := subscribe(t, b, here) // which waits for the server
		if err := a.PublishSaid(elsewhere, said(t, "eve", "0")); err != nil {
			t.Fatal(err)
		}
		if err := a.nc.Publish("test.v1.said.here", []byte("junk")); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"1", "2", "3"} {
			if err := a.PublishSaid(here, said(t, "alice", n)); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range []string{"1", "2", "3"} {
			select {
			case s := <-got:
				if !reflect.DeepEqual(s, said(t, "alice", n)) {
					t.Fatalf("got %+v, want %s", s, n)
				}
			case <-time.After(limit):
				t.Fatalf("%s did not come", n)
			}
		}
		if len(events) != 0 {
			t.Error("what was said came as an event")
		}
		if n := b.Stats().Unreadable; n != 1 {
			t.Errorf("dropped %d, want the junk", n)
		}
		if err := a.PublishSaid(here, Said{}); !errors.Is(err, ErrEvent) {
			t.Errorf("nonsense is published: %v", err)
		}
	})
}
