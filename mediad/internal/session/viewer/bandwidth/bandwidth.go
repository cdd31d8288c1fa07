// Package bandwidth chooses which layer of each video a viewer is sent, by what its link is found to carry.
//
// A viewer makes a Sharing and owns it: it says which videos there are and within what bounds (Offer), takes their layers from it
// (Layer) and lets it decide anew ten times a second (Ticks). Nothing is measured while there is nothing to choose: each report of the
// viewer's costs the node as much as a packet.
package bandwidth

import (
	"slices"
	"sync/atomic"
	"time"

	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/fanout/congestion/ladder"
	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/player"
	"weever/mediad/internal/session/viewer/outlet"
	"weever/mediad/internal/session/viewer/wishes"
)

const (
	// period is the time between decisions.
	period = 100 * time.Millisecond

	// deafAfter is when a client that was sent numbered packets, and has never reported on one, is taken for one that never will.
	deafAfter = 5 * time.Second
)

// Link is what is known of a viewer's network. *congestion.Estimator implements it.
type Link interface {
	Read(now time.Time) congestion.Reading
	Stats() congestion.Stats
	Rest()
}

// Meter measures what a video's layers take, in bit/s of payload; 0: not known. *player.Rates implements it.
type Meter interface {
	Of(layer string) int
	Stop()
}

// Config is what a Sharing works with.
type Config struct {
	Link    Link                                      // nil: nothing will be known; each video is sent as the client wants it
	Outlets *outlet.Outlets                           // all that is sent to the viewer
	Leg     func(wishes.Track) *down.Track            // the one that sends a video; nil: there is none yet
	Meter   func(player.Track, chan<- struct{}) Meter // measures until it is stopped, and tells of each measurement, as player.Sources does
	Book    *Book
}

// Video is one that a viewer is to be sent.
type Video struct {
	Key wishes.Track
	player.Track
	Most   string // the best of its layers that the client wants
	Pinned bool   // that one and no other
	Off    bool   // none at all, for now
}

// chooses reports whether there is anything to choose.
func (v *Video) chooses() bool {
	return !v.Pinned && !v.Off && len(v.Rids) > 1 && v.Most != v.Rids[len(v.Rids)-1]
}

// Sharing is the choice for one viewer, for one goroutine at a time. The zero Sharing leaves everything to the client.
type Sharing struct {
	cfg     Config
	leave   func()
	measure atomic.Bool   // also read by who counts
	changed chan struct{} // a Meter has measured

	ladder ladder.Ladder
	videos []*rung // those with a choice, in the order of Offer
	others others
	tick   *time.Ticker // nil: nothing is measured
}

// New makes a Sharing that was offered nothing.
func New(cfg Config) *Sharing {
	s := &Sharing{cfg: cfg, changed: make(chan struct{}, 1)}
	if cfg.Link != nil {
		s.leave = cfg.Book.Enter(struct{}{}, s.read)
	}
	return s
}

// Offer says what videos there are, those first that matter most, and decides at once.
func (s *Sharing) Offer(now time.Time, videos []Video) {
	if s.cfg.Link == nil {
		return
	}
	was := s.videos
	s.videos = nil
	for _, v := range videos {
		if d := s.cfg.Leg(v.Key); !v.chooses() || d != nil && !d.Measurable() {
			continue
		}
		r := &rung{}
		if i := find(was, v.Key); i >= 0 {
			r = was[i]
			was = slices.Delete(was, i, i+1)
		}
		s.videos = append(s.videos, r.take(v, s.meter))
	}
	for _, r := range was {
		r.meter.Stop()
	}
	s.switchOn(len(s.videos) > 0)
	s.decide(now)
}

func (s *Sharing) meter(v Video) Meter { return s.cfg.Meter(v.Track, s.changed) }

// switchOn begins or ends the measuring.
func (s *Sharing) switchOn(on bool) {
	if on == (s.tick != nil) {
		return
	}
	s.cfg.Outlets.Measure(on)
	s.measure.Store(on)
	if on {
		s.others = others{}
		s.tick = time.NewTicker(period)
		return
	}
	s.tick.Stop()
	s.tick = nil
	s.cfg.Link.Rest()
}

// Ticks says when to call Tick; it is another channel after each Offer, and nil while there is nothing to decide.
func (s *Sharing) Ticks() <-chan time.Time {
	if s.tick == nil {
		return nil
	}
	return s.tick.C
}

// Tick decides anew. It reports whether the videos are to be offered again, and their layers taken.
func (s *Sharing) Tick(now time.Time) (changed bool) {
	select {
	case <-s.changed:
		for _, r := range s.videos {
			r.offer()
		}
	default:
	}
	for _, r := range s.videos {
		if d := s.cfg.Leg(r.Key); d != nil && !d.Measurable() {
			changed = true // since it is bound
		}
	}
	s.others.look(now, s.cfg.Outlets.All(), func(d *down.Track) bool {
		return slices.ContainsFunc(s.videos, func(r *rung) bool { return s.cfg.Leg(r.Key) == d })
	})
	return s.decide(now) || changed
}

func (s *Sharing) decide(now time.Time) (changed bool) {
	if len(s.videos) == 0 {
		return false
	}
	reading := s.cfg.Link.Read(now)
	if reading.State == congestion.Starting && s.others.sentFor(now) > deafAfter && s.cfg.Link.Stats().Reports == 0 {
		reading = congestion.Reading{}
	}
	tracks := make([]*ladder.Track, len(s.videos))
	for i, r := range s.videos {
		tracks[i] = &r.track
	}
	return s.ladder.Decide(now, reading, s.others.rate, tracks)
}

// Layer is the one to send of a video; false: there is no choice, and it is the one that the client wants.
func (s *Sharing) Layer(key wishes.Track) (layer string, ok bool) {
	i := find(s.videos, key)
	if i < 0 {
		return "", false
	}
	return s.videos[i].track.Layer(), true
}

// Urgent reports whether a video that is sent in the layer from is to be sent in a lower one because the link is too full.
func (s *Sharing) Urgent(key wishes.Track, from string) bool {
	i := find(s.videos, key)
	if i < 0 {
		return false
	}
	r := s.videos[i]
	at := slices.Index(r.Rids, from)
	return at >= slices.Index(r.Rids, r.Most) && at >= 0 && at < slices.Index(r.Rids, r.track.Layer())
}

// Close ends all measuring, for good.
func (s *Sharing) Close() {
	if s.leave == nil {
		return
	}
	for _, r := range s.videos {
		r.meter.Stop()
	}
	s.videos = nil
	s.switchOn(false)
	s.leave()
}
