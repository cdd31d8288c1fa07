package ladder

import (
	"math"

	"weever/mediad/internal/fanout/congestion"
)

// scene is what is sent to the viewer at one decision, in bit/s.
type scene struct {
	tracks    []*Track
	total     int
	budget    int // what the link carries
	narrowest int // what is known to be too much for it
}

func newScene(r congestion.Reading, other int, tracks []*Track) *scene {
	s := &scene{tracks: tracks, total: other, budget: r.Rate, narrowest: math.MaxInt}
	if r.Burst > 0 {
		s.budget, s.narrowest = min(s.budget, r.Burst), r.Burst
	}
	for _, t := range tracks {
		s.total += t.rate()
	}
	return s
}

// raise lets tracks go up within a budget, the lowest first, as far as among lets them.
func (s *scene) raise(budget int, among func(*Track) bool) {
	for {
		var lowest *Track
		for _, t := range s.tracks {
			if t.raises() && among(t) && s.total+t.step() <= budget && (lowest == nil || t.rate() < lowest.rate()) {
				lowest = t
			}
		}
		if lowest == nil {
			return
		}
		s.up(lowest)
	}
}

// step lets one track go up by one layer, the lowest of those that do not take the total to limit.
func (s *scene) step(limit int) {
	var lowest *Track
	for _, t := range s.tracks {
		if t.raises() && s.total+t.step() < limit && (lowest == nil || t.rate() < lowest.rate()) {
			lowest = t
		}
	}
	if lowest != nil {
		s.up(lowest)
	}
}

func (s *scene) up(t *Track) {
	s.total += t.step()
	t.at--
}

// lower lets tracks go down until all fit a budget or none can go lower, the highest first.
func (s *scene) lower(budget int) {
	for s.total > budget {
		var highest *Track
		for _, t := range s.tracks {
			if t.lowers() && (highest == nil || t.rate() >= highest.rate()) {
				highest = t
			}
		}
		if highest == nil {
			return
		}
		s.down(highest, highest.at+1)
	}
}

func (s *scene) down(t *Track, to int) {
	s.total -= t.rate()
	t.at = to
	s.total += t.rate()
}

// remember notes where the tracks stand, keep makes that what restore takes them back to, if they are higher.
func (s *scene) remember() {
	for _, t := range s.tracks {
		t.was = t.at
	}
}

func (s *scene) keep() {
	for _, t := range s.tracks {
		t.from = t.layers[t.was].Name
	}
}

func (s *scene) restore() {
	for _, t := range s.tracks {
		if i := find(t.layers, t.from); !t.pinned && i > t.at {
			s.down(t, i)
		}
	}
}
