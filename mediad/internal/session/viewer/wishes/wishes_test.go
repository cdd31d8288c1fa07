package wishes

import (
	"strconv"
	"testing"
	"time"

	"weever/mediad/internal/control"
	"weever/mediad/internal/roster"
	"weever/shared/room"
)

func full(t *testing.T, s string) room.FullID {
	t.Helper()
	id, err := room.ParseFullID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// view is a room with these publishers, the first being the oldest.
func view(t *testing.T, names ...string) *roster.View {
	t.Helper()
	v := &roster.View{Publishers: map[room.FullID]room.Publisher{}}
	for i, s := range names {
		away := false
		if s[0] == '!' {
			away, s = true, s[1:]
		}
		p := room.Publisher{FullID: full(t, s), Inc: int64(i + 1), State: room.Live, JoinedAt: time.Unix(int64(i), 0), Tracks: []room.Track{
			{ID: "video0", Kind: "video"}, {ID: "video1", Kind: "video"}, {ID: "audio0", Kind: "audio"},
		}}
		if away {
			p.State = room.Away
		}
		v.Publishers[p.FullID] = p
	}
	return v
}

func TestWhatAViewerWants(t *testing.T) {
	t.Parallel()
	alice, bob := full(t, "alice+1"), full(t, "bob")
	for name, c := range map[string]struct {
		manual bool
		say    func(*Wishes)
		want   map[Track]bool
	}{
		"everybody":           {false, func(*Wishes) {}, map[Track]bool{{alice, "video0"}: true, {bob, "audio0"}: true}},
		"nobody":              {true, func(*Wishes) {}, map[Track]bool{{alice, "video0"}: false}},
		"all but one":         {false, func(w *Wishes) { w.Say(alice, nil, false) }, map[Track]bool{{alice, "video0"}: false, {bob, "audio0"}: true}},
		"all but one's video": {false, func(w *Wishes) { w.Say(alice, []string{"video0"}, false) }, map[Track]bool{{alice, "video0"}: false, {alice, "audio0"}: true}},
		"one's audio alone":   {true, func(w *Wishes) { w.Say(bob, []string{"audio0"}, true) }, map[Track]bool{{bob, "audio0"}: true, {bob, "video0"}: false}},
		"the last word wins":  {false, func(w *Wishes) { w.Say(bob, []string{"audio0"}, false); w.Say(bob, nil, true) }, map[Track]bool{{bob, "audio0"}: true}},
		"forgotten on leaving": {false, func(w *Wishes) {
			w.Say(bob, nil, false)
			w.Say(bob, []string{"audio0"}, false)
			w.Forget(bob)
		}, map[Track]bool{{bob, "audio0"}: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New(Config{Manual: c.manual})
			c.say(w)
			for k, want := range c.want {
				if w.Wants(k) != want {
					t.Errorf("%s of %s: %v", k.ID, k.Pub, !want)
				}
			}
		})
	}
}

// What one client may have remembered is bounded.
func TestWishesAreBounded(t *testing.T) {
	t.Parallel()
	w := New(Config{})
	for i := range 3 * maxSpoken {
		w.Say(full(t, "p"+strconv.Itoa(i)), []string{"video0"}, true)
	}
	if len(w.spoken) > maxSpoken {
		t.Errorf("%d remembered", len(w.spoken))
	}
	if w.Say(full(t, "late"), nil, true) {
		t.Error("one more was taken")
	}
	if got := w.Obey(control.Unsub{Pub: full(t, "late")}); control.WordOf(got) != control.WordErr {
		t.Errorf("one more is answered %v", got)
	}
}

func TestObey(t *testing.T) {
	t.Parallel()
	w := New(Config{})
	for _, m := range []control.Message{
		control.SubMode{Mode: control.ModeManual}, control.Sub{Pub: full(t, "alice")}, control.Unsub{Pub: full(t, "alice"), Tracks: []string{"video0"}},
	} {
		if got := w.Obey(m); got != (control.OK{}) {
			t.Errorf("%v is answered %v", m, got)
		}
	}
	for track, want := range map[Track]bool{{full(t, "alice"), "audio0"}: true, {full(t, "alice"), "video0"}: false, {full(t, "bob"), "audio0"}: false} {
		if got := w.Wants(track); got != want {
			t.Errorf("%v: wanted %v", track, got)
		}
	}
	w.Obey(control.SubMode{Mode: control.ModeAuto})
	if !w.Wants(Track{full(t, "bob"), "audio0"}) {
		t.Error("auto is not obeyed")
	}
}

func TestOwnStreamsAreInvisible(t *testing.T) {
	t.Parallel()
	w := New(Config{Self: full(t, "alice+9").ID()})
	got := w.Choose(view(t, "alice+1", "alice-screen+1", "bob", "alicia"))
	if len(got) != 2 || got[0].FullID.String() != "bob" || got[1].FullID.String() != "alicia" {
		t.Errorf("%+v", got)
	}
}

func TestWhomAPlayerWatches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pub   string
		rooms [][]string // the room, as it changes
		want  []string   // whom it watches then; "": nobody
	}{
		"the oldest":               {"", [][]string{{"alice", "bob"}}, []string{"alice"}},
		"never oneself":            {"", [][]string{{"me+1", "bob"}}, []string{"bob"}},
		"a screen only when named": {"", [][]string{{"alice-screen", "bob"}}, []string{"bob"}},
		"a screen by its name":     {"alice-screen", [][]string{{"alice", "alice-screen+1"}}, []string{"alice-screen+1"}},
		"by id, the oldest":        {"alice", [][]string{{"bob", "alice+1", "alice+2"}}, []string{"alice+1"}},
		"by full id":               {"alice+2", [][]string{{"alice+1", "alice+2"}}, []string{"alice+2"}},
		"nobody of that name":      {"carol", [][]string{{"alice"}}, []string{""}},
		"not one who is away":      {"", [][]string{{"!alice", "bob"}}, []string{"bob"}},
		"stays with her":           {"", [][]string{{"alice+1", "bob"}, {"bob"}, {"bob", "alice+2"}}, []string{"alice+1", "", "alice+2"}},
		"stays while she is away":  {"", [][]string{{"alice+1", "bob"}, {"!alice+1", "bob"}}, []string{"alice+1", "alice+1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New(Config{Self: full(t, "me").ID(), Player: true, Pub: c.pub})
			for i, names := range c.rooms {
				got := ""
				if pubs := w.Choose(view(t, names...)); len(pubs) > 0 {
					got = pubs[0].FullID.String()
					if n := len(pubs[0].Tracks); n != 2 || pubs[0].Tracks[0].ID != "audio0" || pubs[0].Tracks[1].ID != "video0" {
						t.Errorf("tracks: %+v", pubs[0].Tracks)
					}
				}
				if got != c.want[i] {
					t.Errorf("step %d: %q, want %q", i, got, c.want[i])
				}
			}
		})
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	three := []string{"h", "m", "l"}
	for level, want := range map[control.Level]string{"": "h", control.LevelAuto: "h", control.LevelHigh: "h", control.LevelMid: "m", control.LevelLow: "l"} {
		if got := layerFor(three, level); got != want {
			t.Errorf("%s: %s", level, got)
		}
	}
	if layerFor(nil, control.LevelLow) != "" {
		t.Error("a layer where there is none")
	}
}
