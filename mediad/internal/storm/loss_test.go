package storm

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/shared/testkit/guest"
	"weever/shared/testkit/netns/line"
)

const (
	oneWay    = 20 * time.Millisecond // half of the round trip
	lossLasts = 12 * time.Second      // the measurement
	aftermath = time.Second           // in which nothing gets lost: what was lost at the end has its chance, too

	// A packet that was lost must come within 400 ms and five times the time that others take on this machine at the moment: asking, sending
	// again and reading are late each when it is busy. When it is not, that is half a second.
	patience, hops = 400 * time.Millisecond, 5
)

// toll watches what gets lost on the way to a station: RTP headers are in the clear.
type toll struct {
	mu    sync.Mutex
	seen  map[uint32]int      // packets by SSRC
	lost  map[uint32]int      // of them
	when  map[rtpID]time.Time // each that was lost: when, the first time
	nacks int                 // the other way: feedback messages that ask for packets
	mute  int                 // of them lost
}

type rtpID struct {
	ssrc uint32
	seq  uint16
}

func newToll() *toll {
	return &toll{seen: map[uint32]int{}, lost: map[uint32]int{}, when: map[rtpID]time.Time{}}
}

// readRTP finds the RTP packet in an IPv4 packet; RTCP has other second bytes (RFC 5761 section 4).
func readRTP(ip []byte) (id rtpID, ok bool) {
	id, _, ok = rtpOf(datagram(ip))
	return id, ok
}

// datagram is what an IPv4 packet of UDP carries.
func datagram(ip []byte) []byte {
	const protocol, udp, header = 9, 17, 8
	from := int(ip[0]&0x0f)*4 + header
	if ip[protocol] != udp || len(ip) < from {
		return nil
	}
	return ip[from:]
}

// judge is the line's, to the station.
func (t *toll) judge(ip []byte, lost bool) bool {
	id, ok := readRTP(ip)
	if !ok {
		return lost
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[id.ssrc]++
	if lost {
		t.lost[id.ssrc]++
		if _, twice := t.when[id]; !twice {
			t.when[id] = time.Now()
		}
	}
	return lost
}

// judgeBack is the line's, from the station: the header of SRTCP is in the clear (RFC 3711 section 3.4), and NACKs travel alone.
func (t *toll) judgeBack(ip []byte, lost bool) bool {
	const feedback, nack = 205, 1 // RFC 4585 section 6.2
	if b := datagram(ip); len(b) > 8 && b[0]>>6 == 2 && b[1] == feedback && b[0]&0x1f == nack {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.nacks++
		if lost {
			t.mute++
		}
	}
	return lost
}

// far is a viewer's network in TestLoss.
type far struct {
	name     string
	to, from float64 // losses
	least    float64 // of what was lost, to be repaired
	method   string  // of the guest

	*away
	line *line.Line
	toll *toll
}

// What gets lost on the way to viewers is asked for again and comes in time, however much it is.
func TestLoss(t *testing.T) {
	s := newStage(t)
	all := []*far{
		{name: "2 %", to: 0.02, least: 0.99, method: "Watch"},
		{name: "5 %", to: 0.05, least: 0.98, method: "Watch"},
		{name: "10 %", to: 0.10, least: 0.97, method: "Watch"},
		{name: "2 % both ways", to: 0.02, from: 0.02, least: 0.99, method: "Watch"},
		{name: "10 %, players on plain pion", to: 0.10, least: 0.97, method: "WatchPlain"},
	}
	camera := client.Camera(synth.VP8, synth.Browser)
	camera.Packets, camera.Size = 8, 700
	s.publish("loss", "alice", client.Microphone(), camera)
	await(t, "alice to be live", joinLimit, func() error {
		if s.figures().sum("weever_sessions", `role="pub"`, `state="live"`) < 1 {
			return errors.New("she is not")
		}
		return nil
	})
	twice := s.stumbles("loss")
	var joining []func() guest.Nothing
	for i, f := range all {
		station, cable := s.lan.FarStation(uint64(i)) //nolint:gosec // small
		f.line, f.toll, f.away = cable, newToll(), s.send(station)
		joining = append(joining, guest.Begin[guest.Nothing](f.Guest, f.method, Visit{s.url(), "loss", "viewer" + string(rune('a'+i)), 3, 1}))
	}
	for _, joined := range joining {
		joined()
	}
	for _, f := range all {
		f.line.Set(line.ToStation, line.Weather{Delay: oneWay, Loss: f.to, Judge: f.toll.judge})
		f.line.Set(line.FromStation, line.Weather{Delay: oneWay, Loss: f.from, Judge: f.toll.judgeBack})
	}
	twice.begin()
	before := s.figures()
	hold(lossLasts)
	for _, f := range all {
		f.line.Set(line.ToStation, line.Weather{Delay: oneWay})
		f.line.Set(line.FromStation, line.Weather{Delay: oneWay})
	}
	twice.end()
	hold(aftermath)
	for _, f := range all {
		f.judged(t)
	}
	twice.judged()
	now := s.figures().since(before)
	t.Logf("the node was asked for %g packets and sent %g again; not: %s", now.sum("weever_nacked_packets_total"), now.sum("weever_retransmitted_packets_total"),
		now.named("weever_drops_total"))
}

// judged compares what was lost with what came.
func (f *far) judged(t *testing.T) {
	t.Helper()
	arrivals := guest.Call[[][]Heard](f.Guest, "Arrivals", guest.Nothing{})
	f.toll.mu.Lock()
	defer f.toll.mu.Unlock()
	video, audio := map[uint32]*Heard{}, map[uint32]bool{}
	again := 0
	var usual time.Duration
	for _, viewer := range arrivals {
		for _, h := range viewer {
			if h.Track == "video0" {
				video[h.SSRC] = &h
				again += h.Again
				usual = max(usual, h.Usual)
			} else {
				audio[h.SSRC] = true
			}
		}
	}
	soonEnough := patience + hops*usual
	if f.method == "WatchPlain" {
		soonEnough += 200 * time.Millisecond // pion asks ten times a second, whenever the loss was
	}
	var lost, repaired, late int
	var took []time.Duration
	for id, at := range f.toll.when {
		h := video[id.ssrc]
		if h == nil {
			continue
		}
		lost++
		if came, ok := h.At[id.seq]; ok {
			took = append(took, came.Sub(at))
			if came.Sub(at) <= soonEnough {
				repaired++
			} else {
				late++
			}
		}
	}
	var media, resent, resentLost int
	for ssrc, n := range f.toll.seen {
		switch {
		case video[ssrc] != nil:
			media += n
		case !audio[ssrc]:
			resent += n
			resentLost += f.toll.lost[ssrc]
		}
	}
	slices.Sort(took)
	quantile := func(q float64) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[int(q*float64(len(took)-1))].Round(time.Millisecond)
	}
	share := float64(repaired) / float64(lost)
	within := 0
	for _, d := range took {
		if d <= 500*time.Millisecond {
			within++
		}
	}
	t.Logf("%s: of %d packets of video %d were lost (%.1f %%); %.2f %% came within 500 ms; %d within %v (%.2f %%), %d later, %d never; after %v (median), %v (99 %%), %v (longest); "+
		"%d retransmissions, %d of them lost, %d for nothing; %d NACKs, %d of them lost; the line: %+v",
		f.name, media, lost, 100*float64(lost)/float64(media), 100*float64(within)/float64(lost), repaired, soonEnough.Round(time.Millisecond), 100*share, late, lost-repaired-late, quantile(0.5), quantile(0.99), quantile(1),
		resent, resentLost, again, f.toll.nacks, f.toll.mute, f.line.Stats(line.ToStation))
	if lost < 100 {
		t.Errorf("%s: only %d packets were lost: that says nothing", f.name, lost)
	}
	if share < f.least {
		t.Errorf("%s: %.2f %% of what was lost came within %v, at least %.0f %% must", f.name, 100*share, soonEnough.Round(time.Millisecond), 100*f.least)
	}
	if d := f.line.Stats(line.ToStation).Dropped; d > 0 {
		t.Errorf("%s: the line was too narrow for %d packets", f.name, d)
	}
}
