package player

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weever/mediad/internal/player/board"
	"weever/mediad/internal/player/layer"
	"weever/mediad/internal/relay"
	"weever/shared/apierr"
	"weever/shared/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what players can learn: a room of five, and layers that send 125,000 bytes a second and more.
type world struct {
	counted, metered atomic.Int64
	began            time.Time
	blind, away      atomic.Bool
}

func (w *world) count(context.Context, room.Name) (int, error) {
	w.counted.Add(1)
	return 5, nil
}

func (w *world) meter(_ context.Context, key relay.Key, owner room.Owner) (relay.Meter, error) {
	w.metered.Add(1)
	if w.away.Load() || owner.Instance != "i" {
		return relay.Meter{}, errors.New("away")
	}
	n := map[string]int{"l": 1, "": 1, "m": 2, "h": 3}[key.Layer]
	m := relay.Meter{Bytes: uint64(time.Since(w.began).Milliseconds()) * 125 * uint64(n)}
	if !w.blind.Load() {
		m.Width, m.Height = 320*n, 180*n
	}
	return m, nil
}

// rig is a player in a bubble of fake time.
type rig struct {
	*Player
	*world
	t     *testing.T
	scene Scene
}

func inBubble(t *testing.T, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &world{began: time.Now()}
		sources := NewSources(ctx, w.count, w.meter)
		r := &rig{t: t, world: w, Player: New(Config{Sources: sources, URL: "/sub/tea/bob", Mids: []string{"a", "v"}, Videos: []int{1}})}
		r.scene = Scene{Live: true, Video: &Track{
			At: 1, Rids: []string{"h", "m", "l"}, Playing: true, Key: relay.Key{Inc: 7, Track: "video0"}, Owner: room.Owner{Instance: "i"},
		}}
		r.Show(r.scene)
		test(r)
		r.Close()
		r.Close()
		sources.Wait() // all looking has ended with the player
		cancel()
	})
}

// look lets d pass, and has the session show the scene whenever there is news.
func (r *rig) look(d time.Duration) {
	r.t.Helper()
	end := time.After(d)
	for {
		select {
		case <-r.Changed():
			r.Show(r.scene)
		case <-end:
			synctest.Wait()
			return
		}
	}
}

func (r *rig) open(names string) *board.Reader {
	r.t.Helper()
	set, err := board.ParseSet([]byte(names))
	if err != nil {
		r.t.Fatal(err)
	}
	id, err := r.Board().Open(set)
	if err != nil {
		r.t.Fatal(err)
	}
	reader, _ := r.Board().Attach(id)
	return reader
}

func (r *rig) hears(reader *board.Reader, want string) {
	r.t.Helper()
	got := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(string(reader.Take(nil))), "\ndata: ", " "), "\n\n", "\n")
	if got = strings.ReplaceAll(got, "event: ", ""); got != want {
		r.t.Errorf("heard\n%s\nwant\n%s", got, want)
	}
}

// Nothing is looked up that nobody wants; what is wanted comes at once, and again only when it has changed.
func TestLooksUpWhatIsWanted(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.look(time.Minute)
		if c, m := r.counted.Load(), r.metered.Load(); c+m != 0 {
			t.Errorf("counted %d times and measured %d times for nobody", c, m)
		}
		viewers := r.open(`["viewercount"]`)
		r.look(10 * time.Millisecond)
		r.hears(viewers, `viewercount {"viewercount":5}`)
		layers := r.open(`["layers"]`)
		r.hears(layers, `layers {"1":[{"rid":"h"},{"rid":"m"},{"rid":"l"}]}`)
		r.look(500 * time.Millisecond)
		r.hears(layers, `layers {"1":[{"rid":"h","width":960,"height":540},{"rid":"m","width":640,"height":360},{"rid":"l","width":320,"height":180}]}`)
		r.look(time.Second)
		const measured = `layers {"1":[{"rid":"h","bitrate":3000000,"width":960,"height":540},` +
			`{"rid":"m","bitrate":2000000,"width":640,"height":360},{"rid":"l","bitrate":1000000,"width":320,"height":180}]}`
		r.hears(layers, measured)
		r.away.Store(true) // the owner cannot be asked: no news
		r.look(time.Minute)
		r.hears(layers, "")
		r.hears(viewers, "")
		r.away.Store(false)
		again := r.open(`["layers"]`)
		r.hears(again, measured)
		if n := r.counted.Load(); n < 15 || n > 30 {
			t.Errorf("counted %d times in a minute", n)
		}
	})
}

// With the last stream that wants a thing its looking up ends.
func TestStopsLooking(t *testing.T) {
	inBubble(t, func(r *rig) {
		id, err := r.Board().Open(board.All)
		if err != nil {
			t.Fatal(err)
		}
		r.look(5 * time.Second)
		r.Board().Delete(id)
		r.look(time.Second)
		c, m := r.counted.Load(), r.metered.Load()
		r.look(time.Minute)
		if r.counted.Load() != c || r.metered.Load() != m || c == 0 || m == 0 {
			t.Errorf("counted %d and %d, measured %d and %d times", c, r.counted.Load(), m, r.metered.Load())
		}
	})
}

// A publisher that is gone has no layers; the measuring follows it to a new session, and ends meanwhile.
func TestFollowsThePublisher(t *testing.T) {
	inBubble(t, func(r *rig) {
		reader := r.open(`["active","inactive","layers"]`)
		r.look(2 * time.Second)
		reader.Take(nil)
		track := *r.scene.Video
		track.Playing = false
		r.scene = Scene{Video: &track}
		r.Show(r.scene)
		r.hears(reader, "inactive {}\n"+`layers {"1":[]}`)
		m := r.metered.Load()
		r.look(time.Minute)
		if r.metered.Load() != m {
			t.Error("measured what is not there")
		}
		next := track
		next.Playing, next.Key.Inc, next.Rids = true, 8, nil
		r.scene = Scene{Live: true, Video: &next}
		r.Show(r.scene)
		r.hears(reader, "active {}\n"+`layers {"1":[{"spatialLayerId":0,"temporalLayerId":0}]}`)
		r.look(2 * time.Second)
		r.hears(reader, `layers {"1":[{"spatialLayerId":0,"temporalLayerId":0,"bitrate":1000000,"width":320,"height":180}]}`)
		r.scene = Scene{Live: true}
		r.Show(r.scene)
		r.hears(reader, `layers {"1":[]}`)
		r.Reconnect()
	})
}

func TestSelect(t *testing.T) {
	inBubble(t, func(r *rig) {
		rids := r.scene.Video.Rids
		choose := func(w layer.Wish, want string, ok bool) {
			t.Helper()
			if err := r.Select(w); err != nil {
				t.Fatal(err)
			}
			r.look(10 * time.Millisecond)
			if r.Pinned() != (w.Rid != "") {
				t.Errorf("%+v: pinned %t", w, r.Pinned())
			}
			if rid, got := r.Layer(rids); rid != want || got != ok {
				t.Errorf("%+v chose %q, %v", w, rid, got)
			}
		}
		limit := 640
		choose(layer.Wish{}, "", false)
		choose(layer.Wish{Rid: "m", Media: "v"}, "m", true)
		for _, w := range []layer.Wish{{Rid: "q"}, {Media: "0"}, {Spatial: 1}} {
			if err := r.Select(w); apierr.From(err).Code != apierr.Unacceptable {
				t.Errorf("%+v: %v", w, err)
			}
		}
		if rid, _ := r.Layer(rids); rid != "m" {
			t.Errorf("a refused wish left %q", rid)
		}
		// Limits need the sizes, which are looked up for them alone.
		r.blind.Store(true)
		choose(layer.Wish{MaxWidth: &limit}, "", false)
		r.blind.Store(false)
		r.look(5 * time.Second)
		if rid, ok := r.Layer(rids); rid != "m" || !ok {
			t.Errorf("the limit chose %q, %v", rid, ok)
		}
		// They are known on when the publisher's next session is not measured yet.
		next := *r.scene.Video
		next.Key.Inc = 8
		r.away.Store(true)
		r.scene.Video = &next
		r.Show(r.scene)
		if rid, ok := r.Layer(rids); rid != "m" || !ok {
			t.Errorf("after the new session the limit chose %q, %v", rid, ok)
		}
		choose(layer.Wish{}, "", false)
		m := r.metered.Load()
		r.look(time.Minute)
		if r.metered.Load() != m {
			t.Error("measured for nobody")
		}
		if r.counted.Load() != 0 {
			t.Error("counted for nobody")
		}
	})
}

// Who chose a layer that stops gets the next one below meanwhile, never a better one, and has it back when it flows again.
func TestTheChosenLayerStops(t *testing.T) {
	inBubble(t, func(r *rig) {
		for _, c := range []struct {
			chosen string
			rids   string
			want   string
		}{
			{"l", "h m", "m"},
			{"l", "h", "h"},
			{"m", "h l", "l"},
			{"m", "h", "h"},
			{"h", "m l", "m"},
		} {
			if err := r.Select(layer.Wish{Rid: c.chosen}); err != nil {
				t.Fatal(err)
			}
			for rids, want := range map[string]string{"h m l": c.chosen, c.rids: c.want} {
				if rid, ok := r.Layer(strings.Fields(rids)); rid != want || !ok {
					t.Errorf("who chose %s of %s gets %q, %v; want %s", c.chosen, rids, rid, ok, want)
				}
			}
		}
		if rid, ok := r.Layer(nil); ok {
			t.Errorf("of a track without layers the choice is %q", rid)
		}
	})
}

// Small changes of a bit rate are none, and a counter that begins anew is no rate.
func TestReadings(t *testing.T) {
	at := time.Now()
	r := reading{}.next(relay.Meter{Bytes: 1000}, at)
	for i, c := range []struct {
		bytes uint64
		want  int
	}{
		{1000, 0},                // nothing came
		{1010, 1000},             // next to nothing
		{126_010, 1_000_000},     // 1 Mbit/s
		{266_010, 1_000_000},     // a bit more
		{366_010, 1_000_000},     // a bit less
		{666_010, 2_400_000},     // much more
		{666_010, 0},             // nothing
		{10, 0},                  // another stream
		{125_010, 1_000_000},     // and its rate
		{625_010, 4_000_000},     // much more
		{625_010 + 1250, 10_000}, // much less
	} {
		at = at.Add(time.Second)
		if r = r.next(relay.Meter{Bytes: c.bytes}, at); r.bitrate != c.want {
			t.Errorf("step %d: %d bit/s, want %d", i, r.bitrate, c.want)
		}
	}
	if r = r.next(relay.Meter{Bytes: 1 << 40}, at); r.bitrate != 0 {
		t.Errorf("%d bit/s in no time", r.bitrate)
	}
}

// Whoever else chooses among layers has the rates looked up by the same looks.
func TestRates(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.open(`["layers"]`)
		changed := make(chan struct{}, 1)
		rates := r.cfg.Sources.Rates(*r.scene.Video, changed)
		if got := rates.Of("h"); got != 0 {
			t.Errorf("%d bit/s before the first look", got)
		}
		r.look(2 * time.Second)
		<-changed
		for rid, want := range map[string]int{"h": 3_000_000, "m": 2_000_000, "l": 1_000_000, "none": 0} {
			if got := rates.Of(rid); got != want {
				t.Errorf("layer %s takes %d, want %d", rid, got, want)
			}
		}
		alone := r.metered.Load()
		r.look(30 * time.Second)
		if n := r.metered.Load() - alone; n > 33 {
			t.Errorf("%d readings of three layers in 30 s for two who want them", n)
		}
		rates.Stop()
		rates.Stop()
	})
}
