package storm

import (
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client/histogram"
	"weever/mediad/internal/client/synth"
)

// Heard is what has come of one track of one publisher to one viewer.
type Heard struct {
	Pub, Track string
	SSRC       uint32
	At         map[uint16]time.Time // when each sequence number came first
	Counts     map[uint32]bool      // by stamp, of the newest source
	First      uint32               // the lowest of them
	Last       uint32               // the highest of them
	Again      int                  // packets that came again
	Usual      time.Duration        // that 95 of 100 packets took at most; of those in order, and sent since the first one came
	latency    histogram.Histogram  // of the same
	began      time.Time            // when the first packet came
}

// missing is how many of the packets between the first and the last have not come, of those that package synth has made.
func (h *Heard) missing() int {
	if len(h.Counts) == 0 {
		return 0
	}
	return int(h.Last-h.First) + 1 - len(h.Counts)
}

// ear remembers each packet of some publishers that comes to a viewer, for minutes at most. Any goroutine may call its methods.
type ear struct {
	pubs    []string // nil: of all
	mu      sync.Mutex
	heard   map[string]*Heard
	latency histogram.Histogram // of video, since the last window
}

func newEar(pubs ...string) *ear { return &ear{pubs: pubs, heard: map[string]*Heard{}} }

// note is a client.Config's Arrived.
func (e *ear) note(pub, track string, p *rtp.Packet, at time.Time) {
	if e.pubs != nil && !slices.Contains(e.pubs, pub) {
		return
	}
	mark, ok := synth.ReadStamp(p.Payload)
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.heard[pub+" "+track]
	if h == nil {
		h = &Heard{Pub: pub, Track: track, At: map[uint16]time.Time{}, Counts: map[uint32]bool{}, First: mark.Count, Last: mark.Count, began: at}
		e.heard[pub+" "+track] = h
	}
	h.SSRC = p.SSRC
	if ok {
		if h.Counts[mark.Count] {
			h.Again++
			return
		}
		h.Counts[mark.Count] = true
		if mark.Count > h.Last && mark.Sent.After(h.began) {
			h.latency.Record(at.Sub(mark.Sent))
		}
		h.First, h.Last = min(h.First, mark.Count), max(h.Last, mark.Count)
		e.latency.Record(at.Sub(mark.Sent))
	}
	if _, again := h.At[p.SequenceNumber]; !again {
		h.At[p.SequenceNumber] = at
	}
}

// list gives what has come so far.
func (e *ear) list() (all []Heard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.heard {
		c := *h
		c.Usual = h.latency.Quantile(0.95)
		c.At, c.Counts = map[uint16]time.Time{}, map[uint32]bool{}
		for k, v := range h.At {
			c.At[k] = v
		}
		for k := range h.Counts {
			c.Counts[k] = true
		}
		all = append(all, c)
	}
	return all
}

// window gives how late the packets were since the last call.
func (e *ear) window() histogram.Histogram {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.latency
	e.latency = histogram.Histogram{}
	return was
}

// newest is when the last packet came.
func (h *Heard) newest() (last time.Time) {
	for _, at := range h.At {
		if at.After(last) {
			last = at
		}
	}
	return last
}
