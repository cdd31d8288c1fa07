package bandwidth

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/player"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/viewer/outlet"
	"weever/mediad/internal/session/viewer/wishes"
	"weever/shared/room/roomtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a viewer in a bubble of fake time, whose link is what a test says.
type stage struct {
	*Sharing
	t       *testing.T
	book    Book
	outlets *outlet.Outlets
	legs    map[wishes.Track]*down.Track
	rates   map[string]int
	meters  int // that run
	made    int // that were made
	tell    chan<- struct{}
	reading congestion.Reading
	stats   congestion.Stats
	rests   int
}

func (s *stage) Read(time.Time) congestion.Reading { return s.reading }
func (s *stage) Stats() congestion.Stats           { return s.stats }
func (s *stage) Rest()                             { s.rests++ }

// meter is one that says what the stage has.
type meter struct{ *stage }

func (m meter) Of(layer string) int { return m.rates[layer] }
func (m meter) Stop()               { m.meters-- }

func play(t *testing.T, test func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{
			t: t, legs: map[wishes.Track]*down.Track{}, reading: congestion.Reading{State: congestion.Steady, Rate: 10_000_000},
			stats: congestion.Stats{Reports: 9}, rates: map[string]int{"h": 1_500_000, "m": 500_000, "l": 150_000},
		}
		s.outlets = outlet.New(outlet.Config{Book: new(outlet.Book), Clock: life.NewClock(time.Now(), life.Times{})})
		s.Sharing = New(Config{
			Link: s, Outlets: s.outlets, Book: &s.book, Leg: func(k wishes.Track) *down.Track { return s.legs[k] },
			Meter: func(_ player.Track, changed chan<- struct{}) Meter {
				s.meters, s.made, s.tell = s.meters+1, s.made+1, changed
				return meter{s}
			},
		})
		test(s)
		s.Close()
		s.Close()
		if total := s.book.Read()[struct{}{}]; s.meters != 0 || total.Live != 0 || s.Ticks() != nil {
			t.Errorf("after the end %d meters run, %+v", s.meters, total)
		}
		s.outlets.CloseAll()
	})
}

func (s *stage) video(pub string) Video {
	key := wishes.Track{Pub: roomtest.FullID(s.t, pub), ID: "video0"}
	return Video{Key: key, Track: player.Track{Rids: []string{"h", "m", "l"}, Key: relay.Key{Publisher: key.Pub, Inc: 1, Track: key.ID}}, Most: "h"}
}

// pass lets a time go by with its ticks, offering again when it is asked for, and returns after which time that was first.
func (s *stage) pass(d time.Duration, videos ...Video) (first time.Duration) {
	began := time.Now()
	end := time.After(d)
	for {
		select {
		case now := <-s.Ticks():
			if s.Tick(now) {
				if first == 0 {
					first = time.Since(began)
				}
				s.Offer(now, videos)
			}
		case <-end:
			return first
		}
	}
}

func (s *stage) want(what string, v Video, layer string) {
	s.t.Helper()
	if got, ok := s.Layer(v.Key); got != layer || !ok {
		s.t.Errorf("%s: layer %q (%t), want %q", what, got, ok, layer)
	}
}

// Where there is nothing to choose, nothing is measured.
func TestNothingToChoose(t *testing.T) {
	play(t, func(s *stage) {
		for what, change := range map[string]func(*Video){
			"one layer":           func(v *Video) { v.Rids, v.Most = []string{"h"}, "h" },
			"no name":             func(v *Video) { v.Rids, v.Most = nil, "" },
			"a layer by its name": func(v *Video) { v.Pinned = true },
			"off":                 func(v *Video) { v.Off = true },
			"the least":           func(v *Video) { v.Most = "l" },
		} {
			v := s.video("ann")
			change(&v)
			s.Offer(time.Now(), []Video{v})
			if layer, ok := s.Layer(v.Key); ok || s.Ticks() != nil || s.made != 0 || s.Urgent(v.Key, "h") {
				t.Errorf("%s: %q", what, layer)
			}
		}
		off := New(Config{})
		off.Offer(time.Now(), []Video{s.video("ann")})
		if _, ok := off.Layer(s.video("ann").Key); ok || off.Ticks() != nil {
			t.Error("a choice without an estimate")
		}
		off.Close()
	})
}

// The measuring begins with the first choice and ends with the last.
func TestMeasuresWhileThereIsAChoice(t *testing.T) {
	play(t, func(s *stage) {
		ann, bob := s.video("ann"), s.video("bob")
		states := func() int { return s.book.Read()[struct{}{}].Now.States[congestion.Steady] }
		if states() != 0 {
			t.Error("counted before it is measured")
		}
		s.Offer(time.Now(), []Video{ann, bob})
		if s.Ticks() == nil || s.meters != 2 || states() != 1 {
			t.Errorf("%d meters, %d links", s.meters, states())
		}
		ann.Off = true
		s.Offer(time.Now(), []Video{ann, bob})
		if s.Ticks() == nil || s.meters != 1 || s.rests != 0 {
			t.Errorf("%d meters with one choice left", s.meters)
		}
		s.Offer(time.Now(), []Video{ann})
		if s.Ticks() != nil || s.meters != 0 || s.rests != 1 || states() != 0 {
			t.Errorf("%d meters, %d links, %d rests", s.meters, states(), s.rests)
		}
		if sum := s.book.Read()[struct{}{}].Sum; sum.Reports != 9 {
			t.Errorf("the sum is %+v", sum)
		}
	})
}

// The client's bound holds, the estimate counts below it; down it goes urgently, but not when it is the client who wants less.
func TestChooses(t *testing.T) {
	play(t, func(s *stage) {
		v := s.video("ann")
		s.Offer(time.Now(), []Video{v})
		s.want("plenty", v, "h")
		v.Most = "m"
		s.Offer(time.Now(), []Video{v})
		s.want("a bound", v, "m")
		if s.Urgent(v.Key, "h") {
			t.Error("it was the client who wanted less")
		}
		v.Most = "h"
		s.Offer(time.Now(), []Video{v})
		s.pass(30*time.Second, v)
		s.want("no bound", v, "h")

		s.reading = congestion.Reading{State: congestion.Congested, Rate: 600_000}
		if after := s.pass(5*time.Second, v); after == 0 || after > 300*time.Millisecond {
			t.Errorf("lowered after %v", after)
		}
		s.want("too narrow", v, "m")
		if !s.Urgent(v.Key, "h") || s.Urgent(v.Key, "m") || s.Urgent(v.Key, "l") || s.Urgent(v.Key, "gone") {
			t.Error("what is urgent")
		}
		s.reading = congestion.Reading{State: congestion.Steady, Rate: 10_000_000}
		if after := s.pass(time.Minute, v); after < 800*time.Millisecond || after > 20*time.Second {
			t.Errorf("raised after %v", after)
		}
		s.want("room again", v, "h")
	})
}

// A new video gets what is left, and the oldest publisher's is served first.
func TestSharesOut(t *testing.T) {
	play(t, func(s *stage) {
		s.reading = congestion.Reading{State: congestion.Starting, Rate: 2_200_000}
		ann, bob := s.video("ann"), s.video("bob")
		s.Offer(time.Now(), []Video{ann, bob})
		s.want("the first", ann, "h")
		s.want("the second", bob, "m")
	})
}

// Rates come when they are measured, with the headers; what was known of a layer outlives silence and a publisher's new session.
func TestRates(t *testing.T) {
	play(t, func(s *stage) {
		v := s.video("ann")
		s.rates = map[string]int{}
		s.reading = congestion.Reading{State: congestion.Steady, Rate: 1_560_000}
		s.Offer(time.Now(), []Video{v})
		s.want("as is usual", v, "h")
		s.rates = map[string]int{"h": 1_500_000, "m": 500_000}
		s.tell <- struct{}{}
		s.pass(200*time.Millisecond, v)
		if got := s.videos[0].rates; got["h"] != 1_575_000 || got["l"] != 0 {
			t.Errorf("%v", got)
		}
		s.rates["h"] = 0
		v.Track.Key.Inc++
		s.Offer(time.Now(), []Video{v})
		if got := s.videos[0].rates["h"]; got != 1_575_000 || s.made != 2 || s.meters != 1 {
			t.Errorf("%d bit/s, %d of %d meters", got, s.meters, s.made)
		}
		s.reading = congestion.Reading{State: congestion.Congested, Rate: 1_560_000}
		s.pass(time.Second, v)
		s.want("more than was thought", v, "m")
	})
}

// A client that gets no numbers, or never reports on any, is sent what it wants.
func TestClientsThatDoNotReport(t *testing.T) {
	play(t, func(s *stage) {
		v := s.video("ann")
		s.reading, s.stats = congestion.Reading{State: congestion.Starting, Rate: 600_000}, congestion.Stats{}
		s.Offer(time.Now(), []Video{v})
		s.pass(time.Minute, v)
		s.want("nothing was sent yet", v, "m")
		sound := newSound(t, s.outlets)
		sound.write(1, 100)
		if after := s.pass(10*time.Second, v); after < deafAfter || after > deafAfter+2*time.Second {
			t.Errorf("believed for %v", after)
		}
		s.want("it is deaf", v, "h")
		s.stats.Reports = 1
		s.reading = congestion.Reading{State: congestion.Congested, Rate: 600_000}
		s.pass(time.Second, v)
		s.want("it is not", v, "m")

		s.legs[v.Key] = sound.track // bound, and without numbers
		if after := s.pass(time.Second, v); after > 200*time.Millisecond || s.Ticks() != nil {
			t.Errorf("noticed after %v", after)
		}
		if _, ok := s.Layer(v.Key); ok {
			t.Error("there is a choice without numbers")
		}
		sound.stream.Close()
	})
}

// What else is sent is measured: sound here, 50 packets a second of 100 bytes and their headers.
func TestOthers(t *testing.T) {
	play(t, func(s *stage) {
		v := s.video("ann")
		sound := newSound(t, s.outlets)
		sound.write(1000, 1000) // long before
		s.Offer(time.Now(), []Video{v})
		for range 500 {
			sound.write(1, 100)
			s.pass(20*time.Millisecond, v)
		}
		if got := s.others.rate; got < 54_000 || got > 58_000 {
			t.Errorf("%d bit/s", got)
		}
		s.outlets.Close(sound.track)
		s.pass(10*time.Second, v)
		if got := s.others.rate; got > 100 {
			t.Errorf("%d bit/s when it is over", got)
		}
		// A video with a choice does not count, and what it had taken is not made up for when it has none any more.
		chosen, o := newSound(t, s.outlets), others{}
		is := true
		for range 5 {
			chosen.write(10, 100)
			o.look(time.Now(), s.outlets.All(), func(*down.Track) bool { return is })
			<-time.After(lookEvery)
			if o.rate != 0 {
				t.Errorf("%d bit/s of a video with a choice", o.rate)
			}
		}
		is = false
		o.look(time.Now(), s.outlets.All(), func(*down.Track) bool { return is })
		if o.rate != 0 {
			t.Errorf("%d bit/s at once", o.rate)
		}
		sound.stream.Close()
		chosen.stream.Close()
	})
}

// TestSums: states are added one by one.
func TestSums(t *testing.T) {
	a := Sum{Stats: congestion.Stats{Reports: 1, Malformed: 2, Repeated: 3, Cuts: 4}}
	a.States[congestion.Blind] = 1
	b := a.Plus(a)
	if b.Stats != (congestion.Stats{Reports: 2, Malformed: 4, Repeated: 6, Cuts: 8}) || b.States[congestion.Blind] != 2 || a.States[congestion.Blind] != 1 {
		t.Errorf("%+v", b)
	}
}
