package storm

import (
	"sync"
	"time"

	"weever/shared/testkit/guest"
	"weever/shared/testkit/netns/line"
)

// stumble is the line of a viewer on which now and then one packet of video gets lost, and then the first retransmission after it.
type stumble struct {
	*away
	line *line.Line

	mu      sync.Mutex
	video   uint32          // SSRC
	known   map[uint32]bool // SSRCs of media; what has others is sent again
	passed  int
	pending *victim
	victims []victim
}

// victim is a packet that gets lost twice.
type victim struct {
	id          rtpID
	lost, again time.Time
}

// stumbleEvery is how many packets come between two victims: a second's, so that one is over when the next one comes.
const stumbleEvery = 240

// stumbles opens a viewer in a room; her line is in order until begin.
func (s *stage) stumbles(room string) *stumble {
	s.Helper()
	station, cable := s.lan.FarStation(0)
	b := &stumble{away: s.send(station), line: cable, known: map[uint32]bool{}}
	guest.Call[guest.Nothing](b.Guest, "Watch", Visit{s.url(), room, "stumbling", 1, 1})
	return b
}

func (b *stumble) begin() {
	b.Helper()
	for _, h := range guest.Call[[][]Heard](b.Guest, "Arrivals", guest.Nothing{})[0] {
		b.known[h.SSRC] = true
		if h.Track == "video0" {
			b.video = h.SSRC
		}
	}
	b.line.Set(line.ToStation, line.Weather{Delay: oneWay, Judge: b.judge})
	b.line.Set(line.FromStation, line.Weather{Delay: oneWay})
}

func (b *stumble) end() { b.line.Set(line.ToStation, line.Weather{Delay: oneWay}) }

// judge is the line's.
func (b *stumble) judge(ip []byte, lost bool) bool {
	id, ok := readRTP(ip)
	if !ok {
		return lost
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case id.ssrc == b.video && b.pending == nil:
		if b.passed++; b.passed%stumbleEvery == 0 {
			b.pending = &victim{id: id, lost: time.Now()}
			return true
		}
	case !b.known[id.ssrc] && b.pending != nil:
		b.pending.again = time.Now()
		b.victims = append(b.victims, *b.pending)
		b.pending = nil
		return true
	}
	return lost
}

// judged insists that each victim came in the end, in time, and after it had got lost for the second time.
func (b *stumble) judged() {
	b.Helper()
	var came map[uint16]time.Time
	var soonEnough time.Duration
	for _, h := range guest.Call[[][]Heard](b.Guest, "Arrivals", guest.Nothing{})[0] {
		if h.SSRC == b.video {
			came, soonEnough = h.At, patience+2*hops*h.Usual
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.victims) < 5 {
		b.Errorf("only %d packets were sent again at all", len(b.victims))
	}
	for _, v := range b.victims {
		at, ok := came[v.id.seq]
		b.Logf("packet %d: sent again after %v, which got lost, too; came after %v", v.id.seq, v.again.Sub(v.lost).Round(time.Millisecond), at.Sub(v.lost).Round(time.Millisecond))
		if !ok || at.Before(v.again) || at.Sub(v.lost) > soonEnough {
			b.Errorf("packet %d got lost twice and came %v after it was sent: %v", v.id.seq, at.Sub(v.lost), ok)
		}
	}
}
