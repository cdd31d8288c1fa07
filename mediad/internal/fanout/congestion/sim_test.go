package congestion_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/fanout/congestion/ladder"
)

// The sender of the simulations: a viewer's tracks, in three layers each, with sound.
const (
	frameTime = time.Second / 30
	soundTime = 20 * time.Millisecond
	soundSize = 120 // bytes: 48 kbit/s with headers
	mtu       = 1200
	keyTimes  = 5 // a key frame is so much larger than others
	keyDelay  = 200 * time.Millisecond
	decision  = 100 * time.Millisecond
)

func layers() []ladder.Layer {
	return []ladder.Layer{{Name: "high", Rate: 1_500_000}, {Name: "mid", Rate: 500_000}, {Name: "low", Rate: 150_000}}
}

// epoch is shortly before the reference time of the reports wraps: 24 bits of 64 ms.
func epoch() time.Time { return time.UnixMicro((1600<<24 - 200) * 64_000) }

// setup is what a simulation begins with.
type setup struct {
	way
	seed   uint64
	videos int
	start  int  // bit/s, as of congestion.New
	paced  bool // two packets every 5 ms; else frames leave at once
}

// sender is a viewer's side of the node.
type sender struct {
	*clock
	net    *network
	est    *congestion.Estimator
	ladder ladder.Ladder
	videos []*video
	tracks []*ladder.Track
	rng    *rand.Rand
	paced  bool
	cross  float64 // bit/s of others over the same link
	sound  float64 // share of the sound's packets that are sent
	seen   []congestion.Reading
	sent   int // packets
	failed error
}

// video is one track.
type video struct {
	ladder.Track
	most    string // the best layer that the client wants
	sent    string
	key     bool // the next frame is one
	choices []choice
}

// choice is a switch.
type choice struct {
	at    float64 // seconds since the beginning
	layer string
}

func simulate(s setup) *sender {
	c := &clock{now: epoch()}
	out := &sender{clock: c, est: congestion.New(s.start), rng: rand.New(rand.NewPCG(s.seed, 2)), paced: s.paced, sound: 1}
	out.net = newNetwork(c, s.way, s.seed, func(b []byte) {
		if err := out.est.Feedback(b, c.now); err != nil {
			out.failed = err
		}
	})
	for range s.videos {
		v := &video{most: "high"}
		out.videos, out.tracks = append(out.videos, v), append(out.tracks, &v.Track)
		c.every(time.Duration(out.rng.Int64N(int64(frameTime))), frameTime, func() { out.frame(v) })
	}
	c.every(0, soundTime, func() {
		if out.rng.Float64() < out.sound {
			out.send(soundSize)
		}
	})
	c.every(0, 5*time.Millisecond, func() {
		if out.cross > 0 {
			out.net.send(int(out.cross/200/8), func() {})
		}
	})
	c.every(0, decision, out.decide)
	return out
}

func (s *sender) send(size int) {
	s.sent++
	s.net.packet(s.est.Sent(size, s.now), size)
}

// frame sends the next picture of a track, of a size that varies by 30 %.
func (s *sender) frame(v *video) {
	if v.sent == "" {
		return
	}
	rate := 0
	for _, l := range layers() {
		if l.Name == v.sent {
			rate = l.Rate
		}
	}
	size := int(float64(rate) / 8 * frameTime.Seconds() * (0.7 + 0.6*s.rng.Float64()))
	if v.key {
		size *= keyTimes
		v.key = false
	}
	n := (size + mtu - 1) / mtu
	for i := range n {
		gap := time.Duration(0)
		if s.paced {
			gap = time.Duration(i/2) * 5 * time.Millisecond
		}
		s.after(gap, func() { s.send(size/n + 40) })
	}
}

// decide switches layers; the next key frame takes a while to come.
func (s *sender) decide() {
	r := s.est.Read(s.now)
	s.seen = append(s.seen, r)
	for _, v := range s.videos {
		v.Offer(layers(), v.most, false)
	}
	if !s.ladder.Decide(s.now, r, soundSize*8*int(time.Second/soundTime), s.tracks) {
		return
	}
	for _, v := range s.videos {
		want := v.Layer()
		if n := len(v.choices); n > 0 && v.choices[n-1].layer == want {
			continue
		}
		v.choices = append(v.choices, choice{s.elapsed(), want})
		s.after(keyDelay, func() {
			if v.Layer() == want && v.sent != want {
				v.sent, v.key = want, true
			}
		})
	}
}

func (s *sender) elapsed() float64 { return s.now.Sub(epoch()).Seconds() }

func (s *sender) until(seconds float64) {
	s.run(epoch().Add(time.Duration(seconds * float64(time.Second))))
}

// share is how much of the time from one second to another all tracks together were meant to be on a layer.
func (s *sender) share(layer string, from, to float64) float64 {
	sum := 0.0
	for _, v := range s.videos {
		for i, c := range v.choices {
			end := to
			if i+1 < len(v.choices) {
				end = min(to, v.choices[i+1].at)
			}
			if c.layer == layer {
				sum += max(end-max(c.at, from), 0)
			}
		}
	}
	return sum / (to - from) / float64(max(len(s.videos), 1))
}

// since is how many seconds after one the first track was last switched to a layer that it then kept until another; -1: it is on another.
func (s *sender) since(layer string, from, until float64) float64 {
	at, is := 0.0, ""
	for _, c := range s.videos[0].choices {
		if c.at <= until {
			at, is = c.at, c.layer
		}
	}
	if is != layer {
		return -1
	}
	return max(at-from, 0)
}

// switches counts those of all tracks, the first layers included.
func (s *sender) switches() (n int) {
	for _, v := range s.videos {
		n += len(v.choices)
	}
	return n
}

// in counts the readings in a state.
func (s *sender) in(state congestion.State) (n int) {
	for _, r := range s.seen {
		if r.State == state {
			n++
		}
	}
	return n
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// both runs a scenario with both ways of sending, with two intervals of reports and a few seeds.
func both(t *testing.T, base setup, play func(s *sender), check func(t *testing.T, s *sender)) {
	t.Helper()
	if base.delay == 0 {
		base.delay = ms(25)
	}
	if base.limit == 0 {
		base.limit = 2 * time.Second
	}
	for _, paced := range []bool{false, true} {
		name := map[bool]string{false: "burst", true: "paced"}[paced]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				st := base
				st.paced, st.seed, st.every = paced, seed, ms(50+50*int(seed%2))
				s := simulate(st)
				play(s)
				if s.failed != nil {
					t.Fatalf("seed %d: %v", seed, s.failed)
				}
				end := s.elapsed()
				t.Logf("seed %d: high %.2f mid %.2f low %.2f, %d switches, queue %v, last reading %+v", seed, s.share("high", 0, end),
					s.share("mid", 0, end), s.share("low", 0, end), s.switches(), s.net.longest.Round(time.Millisecond), s.seen[len(s.seen)-1])
				check(t, s)
				if t.Failed() {
					t.Fatalf("seed %d: %v", seed, s.videos[0].choices)
				}
			}
		})
	}
}
