package storm

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/histogram"
	"weever/mediad/internal/client/synth"
	"weever/shared/testkit/guest"
	"weever/shared/testkit/netns"
)

const (
	calmViewers = 8
	burst       = 1000 // packets
	burstEvery  = 750 * time.Millisecond
)

// hall is two rooms of one node. In one a camera is watched calmly; of what disturbs them its viewers should notice nothing. Somebody
// watches both rooms who is blocked at times.
type hall struct {
	*stage
	lasts   time.Duration     // of a window: a multiple of burstEvery
	alice   *client.Publisher // the camera
	ears    []*ear            // of its viewers
	wire    *netns.Watcher    // sees the packets of the calm room, and no others
	paths   map[uint32]uint16 // by SSRC of a viewer: what the node adds to the camera's sequence numbers
	noise   *away             // publishes by burst, and listens to it; another process, whose work is not this one's
	blocked *away
	cables  []netns.Flow // of it
}

func newHall(t testing.TB, lasts time.Duration) *hall {
	t.Helper()
	h := &hall{stage: newStageBy(t, coreOfItsOwn(t)), lasts: lasts}
	h.wire = h.lan.Watch()
	h.alice = h.publish("calm", "alice", client.Microphone(), client.Camera(synth.VP8, synth.Browser))
	h.noise = h.send(h.lan.Station())
	guest.Call[guest.Nothing](h.noise.Guest, "Drum", Visit{URL: h.url(), Room: "noisy", Name: "bursty"})
	await(t, "the publisher of bursts to be live", joinLimit, func() error {
		h.burst(1)
		if n := h.figures().sum("weever_sessions", `role="pub"`, `state="live"`); n < 2 {
			return fmt.Errorf("%g are", n)
		}
		return nil
	})
	for i := range calmViewers {
		e := newEar()
		cfg := h.visit("calm", fmt.Sprintf("calm%d", i))
		cfg.Arrived = e.note
		h.subscribe(cfg)
		h.ears = append(h.ears, e)
	}
	guest.Call[guest.Nothing](h.noise.Guest, "Watch", Visit{h.url(), "noisy", "listener", 1, 1})
	station := h.lan.Station()
	h.blocked = h.send(station)
	h.cables = []netns.Flow{{A: station.Addr, B: h.station.Addr}}
	guest.Call[guest.Nothing](h.blocked.Guest, "Watch", Visit{h.url(), "calm", "blocked", 2, 1})
	guest.Call[guest.Nothing](h.blocked.Guest, "Watch", Visit{h.url(), "noisy", "blocked", 2, 1})
	return h
}

// burst has so many packets sent at once.
func (h *hall) burst(n int) {
	h.Helper()
	guest.Call[guest.Nothing](h.noise.Guest, "Burst", n)
}

// disturbance is what happens meanwhile; it returns what ends it.
type disturbance func(h *hall) (end func())

func stopped(h *hall) func() {
	h.blocked.Signal(syscall.SIGSTOP)
	return func() { h.blocked.Signal(syscall.SIGCONT) }
}

func unplugged(h *hall) func() {
	fault := h.lan.Cut(h.cables...)
	return fault.Heal
}

// bursts sends one now and then, the first one now.
func bursts(h *hall) func() {
	h.burst(burst)
	for range h.lasts/burstEvery - 1 {
		hold(burstEvery)
		h.burst(burst)
	}
	return func() {}
}

// window is how long the node takes for the packets of the calm room while something is going on.
func (h *hall) window(what ...disturbance) histogram.Histogram {
	h.Helper()
	hold(burstEvery / 2) // what came before has had its consequences
	h.wire.Seen()
	over := time.After(h.lasts)
	for _, d := range what {
		defer d(h)()
	}
	<-over
	return h.transit(h.wire.Seen())
}

// whole waits until nothing of the calm room is missing to anybody.
func (h *hall) whole() {
	h.Helper()
	await(h, "the calm room to have everything", 5*time.Second, func() error {
		for i, e := range h.ears {
			for _, t := range e.list() {
				if n := t.missing(); n > 0 {
					return fmt.Errorf("calm%d lacks %d packets of %s", i, n, t.Track)
				}
			}
		}
		return nil
	})
}

// compare measures by turns and gives the medians of the 99th percentiles.
func (h *hall) compare(rounds int, disturbed ...[]disturbance) (calm, storm time.Duration) {
	h.Helper()
	var calms, storms []time.Duration
	for i := range rounds {
		c := h.window()
		d := h.window(disturbed[i%len(disturbed)]...)
		calms, storms = append(calms, c.Quantile(0.99)), append(storms, d.Quantile(0.99))
		if i == 0 && (c.Count() == 0 || d.Count() == 0) {
			h.Fatal("no packet of the calm room was seen on its way in and out")
		}
		h.Logf("p50, p99, longest of %d packets undisturbed: %v, %v, %v; of %d disturbed: %v, %v, %v",
			c.Count(), ms(c.Quantile(0.5)), ms(c.Quantile(0.99)), ms(c.Max()), d.Count(), ms(d.Quantile(0.5)), ms(d.Quantile(0.99)), ms(d.Max()))
	}
	slices.Sort(calms)
	slices.Sort(storms)
	return calms[rounds/2], storms[rounds/2]
}

func ms(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// A viewer who takes nothing in and bursts of a thousand packets are nobody else's affair.
func TestBlockedViewer(t *testing.T) {
	h := newHall(t, 2*burstEvery)
	before := h.figures()
	calm, storm := h.compare(3, []disturbance{stopped, bursts}, []disturbance{unplugged, bursts})
	now := h.figures().since(before)
	t.Logf("p99 undisturbed %v, disturbed %v: ratio %.2f; not sent: %s", ms(calm), ms(storm), float64(storm)/float64(calm), now.named("weever_drops_total"))
	h.whole()
	if limit := 3*calm + 50*time.Millisecond; storm > limit {
		t.Errorf("p99 is %v where it was %v undisturbed, at most %v may be", storm, calm, limit)
	}
}

// BenchmarkBlockedViewer prints what the others notice of each: 1 is nothing.
func BenchmarkBlockedViewer(b *testing.B) {
	for _, c := range []struct {
		name string
		what []disturbance
	}{
		{"stopped", []disturbance{stopped}},
		{"unplugged", []disturbance{unplugged}},
		{"burst", []disturbance{bursts}},
		{"stopped+burst", []disturbance{stopped, bursts}},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newHall(b, 6*burstEvery)
			calm, storm := h.compare(9, c.what)
			b.ReportMetric(float64(calm)/1e6, "ms-calm-p99")
			b.ReportMetric(float64(storm)/1e6, "ms-p99")
			b.ReportMetric(float64(storm)/float64(calm), "ratio")
			b.ReportMetric(0, "ns/op")
			h.whole()
		})
	}
}
