package follow

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Silence says how long nothing came of one track of one publisher, on whichever session.
type Silence struct {
	Pub, Track string
	Packets    uint64
	Last       time.Time     // newest packet
	Longest    time.Duration // between two packets that followed each other, or from the last until now
	Began      time.Time     // of the longest
}

type track struct{ pub, id string }

// meter watches the packets of a subscriber.
type meter struct {
	mu     sync.Mutex // guards what follows
	tracks map[track]*Silence
}

// note counts a packet.
func (m *meter) note(pub, id string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.tracks[track{pub, id}]
	if s == nil {
		s = &Silence{Pub: pub, Track: id, Last: at}
		m.tracks[track{pub, id}] = s
	}
	s.Packets++
	s.until(at)
	if at.After(s.Last) { // two sessions may bring packets at once
		s.Last = at
	}
}

func (s *Silence) until(at time.Time) {
	if gap := at.Sub(s.Last); gap > s.Longest {
		s.Longest, s.Began = gap, s.Last
	}
}

// Silences gives the longest silence of each track since the start or Measure, sorted by publisher and track.
func (m *meter) Silences() []Silence {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var all []Silence
	for _, s := range m.tracks {
		is := *s
		is.until(now)
		all = append(all, is)
	}
	slices.SortFunc(all, func(a, b Silence) int { return cmp.Or(cmp.Compare(a.Pub, b.Pub), cmp.Compare(a.Track, b.Track)) })
	return all
}

// Measure forgets the silences so far. Tracks that are silent at the moment have been so since their last packet.
func (m *meter) Measure() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.tracks {
		s.Packets, s.Longest, s.Began = 0, 0, time.Time{}
	}
}
