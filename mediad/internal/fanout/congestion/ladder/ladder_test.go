package ladder

import (
	"math/rand/v2"
	"testing"
	"time"

	"weever/mediad/internal/fanout/congestion"
)

func three() []Layer { return []Layer{{"h", 1_500_000}, {"m", 500_000}, {"l", 150_000}} }

// stage is a viewer whose link is what a test says.
type stage struct {
	t      *testing.T
	l      Ladder
	now    time.Time
	tracks []*Track
	r      congestion.Reading
	other  int
}

// newStage makes a viewer of n tracks, on a link of which only a rate is known.
func newStage(t *testing.T, n, rate int) *stage {
	s := &stage{t: t, now: time.Unix(1_700_000_000, 0), other: 40_000}
	s.r = congestion.Reading{State: congestion.Starting, Rate: rate}
	for range n {
		tr := &Track{}
		tr.Offer(three(), "h", false)
		s.tracks = append(s.tracks, tr)
	}
	s.decide()
	return s
}

func (s *stage) decide() (changed bool) { return s.l.Decide(s.now, s.r, s.other, s.tracks) }

// pass decides ten times a second for a time, and returns when a layer changed first; d if none did.
func (s *stage) pass(d time.Duration) time.Duration {
	for at := time.Duration(0); at < d; at += 100 * time.Millisecond {
		s.now = s.now.Add(100 * time.Millisecond)
		if s.decide() {
			return at + 100*time.Millisecond
		}
	}
	return d
}

// link changes what is known.
func (s *stage) link(state congestion.State, rate int) {
	s.r = congestion.Reading{State: state, Rate: rate}
}

func (s *stage) want(name string, layers ...string) {
	s.t.Helper()
	for i, tr := range s.tracks {
		if tr.Layer() != layers[i] {
			s.t.Errorf("%s: track %d is on %q, not %q", name, i, tr.Layer(), layers[i])
		}
	}
}

func (s *stage) took(name string, got, from, to time.Duration) {
	s.t.Helper()
	if got < from || got > to {
		s.t.Errorf("%s: after %v, not %v to %v", name, got, from, to)
	}
}

func TestFirstLayer(t *testing.T) {
	for rate, layers := range map[int][]string{
		2_000_000: {"m", "m"}, 3_100_000: {"h", "h"}, 2_100_000: {"h", "m"}, 700_000: {"m", "l"}, 100_000: {"l", "l"}, 0: {"h", "h"},
	} {
		newStage(t, 2, rate).want("first", layers...)
	}
}

func TestNewTrackGetsWhatIsCovered(t *testing.T) {
	s := newStage(t, 1, 2_000_000)
	s.link(congestion.Steady, 2_200_000)
	s.pass(time.Minute)
	add := func() *Track {
		tr := &Track{}
		tr.Offer(three(), "h", false)
		s.tracks = append(s.tracks, tr)
		s.now = s.now.Add(100 * time.Millisecond)
		s.decide()
		return tr
	}
	if got := add().Layer(); got != "m" {
		t.Errorf("with room for mid: %s", got)
	}
	s.link(congestion.Congested, 2_200_000)
	if got := add().Layer(); got != "l" {
		t.Errorf("in trouble: %s", got)
	}
}

func TestDown(t *testing.T) {
	s := newStage(t, 1, 2_000_000)
	s.want("first", "h")
	s.link(congestion.Steady, 2_500_000)
	s.pass(time.Minute)

	s.link(congestion.Steady, 600_000) // a rate below the need is no trouble: who knows why
	s.took("no trouble", s.pass(10*time.Second), 10*time.Second, 10*time.Second)
	s.link(congestion.Congested, 1_700_000) // trouble, but it fits
	s.took("it fits", s.pass(10*time.Second), 10*time.Second, 10*time.Second)
	s.link(congestion.Congested, 600_000)
	s.took("too much", s.pass(10*time.Second), 100*time.Millisecond, 300*time.Millisecond)
	s.want("too much", "m")

	s.link(congestion.Congested, 300_000)
	s.r.RTT = 500 * time.Millisecond
	s.took("and again, when that has shown", s.pass(10*time.Second), 1400*time.Millisecond, 1700*time.Millisecond)
	s.want("and again", "l")
	s.took("there is no less", s.pass(10*time.Second), 10*time.Second, 10*time.Second)
}

func TestDownAtOnceWhenTheQueueIsLong(t *testing.T) {
	s := newStage(t, 1, 2_000_000)
	s.link(congestion.Steady, 2_500_000)
	s.pass(time.Minute)
	s.link(congestion.Congested, 160_000)
	s.r.Queue = 300 * time.Millisecond
	s.took("a long queue", s.pass(10*time.Second), 0, 100*time.Millisecond)
	s.want("as far as need be", "l")
}

func TestDownWhenBlind(t *testing.T) {
	s := newStage(t, 1, 2_000_000)
	s.link(congestion.Steady, 2_500_000)
	s.pass(time.Minute)
	s.link(congestion.Blind, 1_700_000)
	s.took("still covered", s.pass(5*time.Second), 5*time.Second, 5*time.Second)
	s.link(congestion.Blind, 700_000)
	s.took("no more", s.pass(5*time.Second), 0, 300*time.Millisecond)
	s.want("no more", "m")
}

// TestTrials: what the estimate does not cover is tried after five seconds, and after a vain trial twice as long each time.
func TestTrials(t *testing.T) {
	s := newStage(t, 1, 600_000)
	s.want("first", "m")
	s.link(congestion.Steady, 800_000)
	hold := 5 * time.Second
	for i := range 6 {
		s.took("a trial", s.pass(2*time.Minute), hold-200*time.Millisecond, hold+300*time.Millisecond)
		s.want("a trial", "h")
		s.link(congestion.Congested, 700_000)
		s.took("in vain", s.pass(time.Minute), 300*time.Millisecond, 600*time.Millisecond)
		s.want("in vain", "m")
		s.link(congestion.Steady, 700_000)
		hold = min(2*hold, time.Minute)
		if i == 5 && hold != time.Minute {
			t.Errorf("hold %v", hold)
		}
	}
	// The link gets better: the next trial goes well, and all is forgotten.
	s.took("one more", s.pass(2*time.Minute), hold-200*time.Millisecond, hold+300*time.Millisecond)
	s.link(congestion.Steady, 2_000_000)
	s.pass(3 * time.Minute)
	s.want("well", "h")
	s.link(congestion.Congested, 700_000)
	s.pass(time.Minute)
	s.want("others came", "m")
	s.link(congestion.Steady, 700_000)
	s.took("as if for the first time", s.pass(time.Minute), 5*time.Second-300*time.Millisecond, 5300*time.Millisecond)
}

// TestTroubleSoonAfter: a raise that holds for some seconds and no longer was in vain, too.
func TestTroubleSoonAfter(t *testing.T) {
	s := newStage(t, 1, 600_000)
	s.link(congestion.Steady, 800_000)
	s.pass(time.Minute)
	s.want("trial", "h")
	s.link(congestion.Steady, 2_000_000)
	s.pass(12 * time.Second)
	s.link(congestion.Congested, 1_300_000)
	s.pass(time.Minute)
	s.want("trouble", "m")
	s.link(congestion.Steady, 1_200_000)
	s.took("twice as long", s.pass(time.Minute), 9700*time.Millisecond, 10300*time.Millisecond)
}

// TestVainTrialOfMuchForbidsNoTrialOfLess: what failed is remembered by its rate.
func TestVainTrialOfMuchForbidsNoTrialOfLess(t *testing.T) {
	s := newStage(t, 1, 600_000)
	s.link(congestion.Steady, 600_000)
	s.pass(time.Minute)
	s.link(congestion.Congested, 600_000)
	s.pass(time.Minute)
	s.want("in vain", "m")
	s.link(congestion.Congested, 400_000)
	s.pass(time.Minute)
	s.want("and down", "l")
	s.link(congestion.Steady, 400_000)
	s.took("mid", s.pass(time.Minute), 4700*time.Millisecond, 5300*time.Millisecond)
	s.want("mid", "m")
}

func TestCoveredRaise(t *testing.T) {
	s := newStage(t, 3, 1_000_000)
	s.want("first", "m", "l", "l")
	s.link(congestion.Steady, 1_700_000)
	s.took("at once", s.pass(time.Minute), 900*time.Millisecond, 1300*time.Millisecond)
	s.want("all that is covered", "m", "m", "m")
	s.link(congestion.Steady, 5_000_000)
	s.took("and again", s.pass(time.Minute), 900*time.Millisecond, 1300*time.Millisecond)
	s.want("and again", "h", "h", "h")
	s.link(congestion.Congested, 2_700_000)
	s.pass(time.Minute)
	s.want("taken back together", "m", "m", "m")
}

// TestNoCoveredRaiseSoonAfterTrouble: an estimate that has just been wrong is not believed at once.
func TestNoCoveredRaiseSoonAfterTrouble(t *testing.T) {
	s := newStage(t, 1, 2_000_000)
	s.link(congestion.Steady, 2_000_000)
	s.pass(time.Minute)
	s.link(congestion.Congested, 1_400_000)
	s.pass(time.Minute)
	s.want("trouble", "m")
	s.link(congestion.Steady, 2_000_000)
	s.took("over", s.pass(time.Minute), 4700*time.Millisecond, 5300*time.Millisecond)
}

// TestLastFirst: of equal tracks the last is lowered first.
func TestLastFirst(t *testing.T) {
	s := newStage(t, 3, 5_000_000)
	s.link(congestion.Steady, 6_000_000)
	s.pass(time.Minute)
	s.link(congestion.Congested, 3_600_000)
	s.pass(time.Minute)
	s.want("one", "h", "h", "m")
}

func TestDrainingAndQueuesAreNoTimeToRise(t *testing.T) {
	s := newStage(t, 1, 600_000)
	s.link(congestion.Draining, 3_000_000)
	s.took("draining", s.pass(time.Minute), time.Minute, time.Minute)
	s.link(congestion.Steady, 3_000_000)
	s.r.Queue = 150 * time.Millisecond
	s.took("a queue", s.pass(time.Minute), time.Minute, time.Minute)
	s.r.Queue = 0
	s.took("now", s.pass(time.Minute), 900*time.Millisecond, 1200*time.Millisecond)
}

// TestBursts: the key frame that begins a trial tells how much the link carries.
func TestBursts(t *testing.T) {
	s := newStage(t, 1, 2_000_000)
	s.want("first", "h")
	s.r.Burst = 700_000
	s.took("at the start", s.pass(time.Minute), 0, 100*time.Millisecond)
	s.want("at the start", "m")
	s.link(congestion.Steady, 700_000)
	s.pass(time.Minute)
	s.want("trial", "h")
	s.r.Burst = 720_000
	s.took("on trial", s.pass(time.Minute), 0, 100*time.Millisecond)
	s.want("on trial", "m")
	s.took("no trial against what is known", s.pass(3*time.Minute), 3*time.Minute, 3*time.Minute)
	s.r.Burst = 5_000_000
	s.pass(3 * time.Minute)
	s.want("enough", "h")
	s.pass(time.Minute)
	s.r.Burst = 700_000
	s.took("later it is one burst only", s.pass(time.Minute), time.Minute, time.Minute)
}

func TestWishes(t *testing.T) {
	s := newStage(t, 2, 10_000_000)
	s.link(congestion.Steady, 10_000_000)
	s.want("first", "h", "h")
	s.tracks[0].Offer(three(), "m", false)
	s.took("a bound", s.pass(time.Second), 0, 100*time.Millisecond)
	s.want("a bound", "m", "h")
	s.pass(10 * time.Minute)
	s.want("a bound", "m", "h")
	s.link(congestion.Steady, 2_500_000)
	s.tracks[0].Offer(three(), "h", false)
	s.took("uncovered, but long quiet", s.pass(time.Minute), 0, 100*time.Millisecond)
	s.want("lifted", "h", "h")
	s.tracks[0].Offer(three(), "h", true)
	s.link(congestion.Congested, 200_000)
	s.pass(10 * time.Second)
	s.pass(10 * time.Second)
	s.want("pinned", "h", "l")
	s.tracks[0].Offer(three(), "m", true)
	s.pass(time.Second)
	s.want("pinned lower", "m", "l")
	s.tracks[1].Offer(three(), "none such", true)
	s.pass(time.Second)
	s.want("pinned to what is not there", "m", "h")
}

func TestLayersComeAndGo(t *testing.T) {
	s := newStage(t, 1, 10_000_000)
	s.link(congestion.Steady, 10_000_000)
	step := func(name string, layers []Layer, want string) {
		t.Helper()
		s.tracks[0].Offer(layers, "h", false)
		s.decide()
		s.want(name, want)
	}
	step("high stops", three()[1:], "m")
	step("mid stops", three()[2:], "l")
	step("one that is better", []Layer{{"m", 500_000}}, "m")
	step("all are back", three(), "m")
	s.pass(10 * time.Second)
	s.want("raised", "h")
	step("another order", []Layer{{"m", 900_000}, {"h", 800_000}, {"l", 100_000}}, "h")
	step("none", nil, "")
	step("again", three(), "l")
}

func TestGuess(t *testing.T) {
	for name, tc := range map[string]struct{ in, want []int }{
		"all known":  {[]int{1500, 500, 150}, []int{1500, 500, 150}},
		"none":       {[]int{0, 0, 0}, []int{1_350_000, 450_000, 150_000}},
		"least":      {[]int{0, 0, 200}, []int{1800, 600, 200}},
		"best":       {[]int{1800, 0, 0}, []int{1800, 600, 200}},
		"middle":     {[]int{0, 600, 0}, []int{1800, 600, 200}},
		"ends":       {[]int{1800, 0, 100}, []int{1800, 600, 100}},
		"wrong way":  {[]int{10, 600, 200}, []int{600, 600, 200}},
		"one":        {[]int{0}, []int{150_000}},
		"negative":   {[]int{-1, -5}, []int{450_000, 150_000}},
		"tiny above": {[]int{2, 0}, []int{150_000, 150_000}},
	} {
		tr := &Track{}
		layers := make([]Layer, len(tc.in))
		for i, r := range tc.in {
			layers[i] = Layer{Name: string(rune('a' + i)), Rate: r}
		}
		tr.Offer(layers, "a", false)
		for i, l := range tr.layers {
			if l.Rate != tc.want[i] {
				t.Errorf("%s: %+v, not %v", name, tr.layers, tc.want)
				break
			}
		}
	}
}

func TestNoTracks(t *testing.T) {
	s := newStage(t, 0, 100_000)
	for _, state := range []congestion.State{congestion.Steady, congestion.Congested, congestion.Blind} {
		s.link(state, 100_000)
		s.took("nothing", s.pass(time.Minute), time.Minute, time.Minute)
	}
	s.tracks = append(s.tracks, &Track{}) // not offered anything
	s.decide()
	s.want("nothing", "")
}

// TestWhateverIsRead: no reading, however wild, leaves a track outside what is offered and wanted, nor makes a see-saw of it.
func TestWhateverIsRead(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := newStage(t, 4, 1_000_000)
	ups, before := 0, make([]int, len(s.tracks))
	const seconds = 3600
	for range seconds * 10 {
		s.r = congestion.Reading{
			State: congestion.State(rng.IntN(5)), Rate: 50_000 + rng.IntN(8_000_000), Burst: rng.IntN(2) * rng.IntN(4_000_000),
			Queue: time.Duration(rng.IntN(300)) * time.Millisecond, Loss: rng.Float64(), RTT: time.Duration(rng.IntN(500)) * time.Millisecond,
		}
		if rng.IntN(50) > 0 {
			s.r.State, s.r.Queue = congestion.Steady, 0
		}
		s.pass(100 * time.Millisecond)
		for i, tr := range s.tracks {
			if tr.at < tr.most || tr.at >= len(tr.layers) || tr.Layer() != tr.layers[tr.at].Name {
				t.Fatalf("track %d: %+v", i, tr)
			}
			if tr.at < before[i] {
				ups++
			}
			before[i] = tr.at
		}
	}
	if most := seconds / 5 * len(s.tracks) * 2; ups > most {
		t.Errorf("%d raises in an hour, more than %d", ups, most)
	}
}
