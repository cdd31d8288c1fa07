package follow

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client/synth"
)

// Silence says what was missing of one track of one publisher, on whichever session it should have come.
type Silence struct {
	Pub, Track string
	Packets    uint64
	Longest    time.Duration // between two packets that followed each other, or from the last until now
	Began      time.Time     // of the longest

	// Hole is the longest time for which nothing came of what the publisher sent, by the clock of the sending. Unlike Longest it does
	// not grow when packets are late, all of them, on a machine that is busy. It is for packets made by package synth.
	Hole   time.Duration
	HoleAt time.Time
}

type track struct{ pub, id string }

// meter watches the packets of a subscriber.
type meter struct {
	mu     sync.Mutex // guards what follows
	since  time.Time
	tracks map[track]*watched
}

// watched is one track.
type watched struct {
	s       Silence
	last    time.Time         // when the newest packet came
	streams map[uint32][]span // by source, each list in order
}

// span is an unbroken row of packets of one source, by their numbers, and when the first and the last were sent.
type span struct {
	first, last uint32
	from, to    time.Time
}

// note counts a packet.
func (m *meter) note(pub, id string, p *rtp.Packet, at time.Time) {
	mark, stamped := synth.ReadStamp(p.Payload)
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.tracks[track{pub, id}]
	if w == nil {
		w = &watched{s: Silence{Pub: pub, Track: id}, last: at, streams: map[uint32][]span{}}
		m.tracks[track{pub, id}] = w
	}
	w.s.Packets++
	w.s.until(w.last, at)
	if at.After(w.last) { // two sessions may bring packets at once
		w.last = at
	}
	if stamped {
		w.streams[mark.Stream] = add(w.streams[mark.Stream], mark.Count, mark.Sent)
	}
}

func (s *Silence) until(last, at time.Time) {
	if gap := at.Sub(last); gap > s.Longest {
		s.Longest, s.Began = gap, last
	}
}

// add puts a packet into its row.
func add(spans []span, count uint32, sent time.Time) []span {
	i := len(spans) // behind the last row that begins at or before it
	for i > 0 && spans[i-1].first > count {
		i--
	}
	switch {
	case i > 0 && count <= spans[i-1].last: // it came before
		return spans
	case i > 0 && count == spans[i-1].last+1:
		spans[i-1].last, spans[i-1].to = count, sent
		if i < len(spans) && spans[i].first == count+1 {
			spans[i-1].last, spans[i-1].to = spans[i].last, spans[i].to
			spans = slices.Delete(spans, i, i+1)
		}
	case i < len(spans) && spans[i].first == count+1:
		spans[i].first, spans[i].from = count, sent
	default:
		spans = slices.Insert(spans, i, span{count, count, sent, sent})
	}
	return spans
}

// hole finds the longest time after since in which none of the rows of any source has a packet.
func (w *watched) hole(since time.Time) (longest time.Duration, at time.Time) {
	var all []span
	for _, spans := range w.streams {
		all = append(all, spans...)
	}
	slices.SortFunc(all, func(a, b span) int { return a.from.Compare(b.from) })
	var end time.Time
	for i, s := range all {
		if i > 0 && s.from.After(end) && s.from.After(since) {
			begin := end
			if begin.Before(since) {
				begin = since
			}
			if gap := s.from.Sub(begin); gap > longest {
				longest, at = gap, begin
			}
		}
		if s.to.After(end) {
			end = s.to
		}
	}
	return longest, at
}

// Silences says what was missing of each track since the start or Measure, sorted by publisher and track.
func (m *meter) Silences() []Silence {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var all []Silence
	for _, w := range m.tracks {
		s := w.s
		s.until(w.last, now)
		s.Hole, s.HoleAt = w.hole(m.since)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Silence) int { return cmp.Or(cmp.Compare(a.Pub, b.Pub), cmp.Compare(a.Track, b.Track)) })
	return all
}

// Measure forgets what was missing so far. A track that is silent at the moment has been so since its last packet.
func (m *meter) Measure() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = time.Now()
	for _, w := range m.tracks {
		w.s = Silence{Pub: w.s.Pub, Track: w.s.Track}
		for id, spans := range w.streams { // where the last row ends is where a hole would begin
			w.streams[id] = []span{spans[len(spans)-1]}
		}
	}
}
