// Package congestion estimates how much a viewer's network can carry, from what its browser reports of the packets' arrival.
//
//	writers of a viewer's tracks ─ Sent ──────→ ┐
//	reader of its RTCP ────────── Feedback ───→ ├ Estimator ─ Read ─→ the viewer's session, which has package ladder choose layers
//
// The reports are transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), the mathematics those of Google
// Congestion Control (draft-ietf-rmcat-gcc-02) with what libwebrtc has added since: delays that grow, and losses, say that the link is
// too full. The estimator shapes nothing: it is told what was sent and sees what came of it. So it never knows more of a link than was
// tried on it, and the rate may grow beyond what arrives by half at most; to find out more is to send more.
//
// An Estimator belongs to one connection, starts nothing and ends with it.
package congestion

import (
	"sync"
	"time"

	"weever/mediad/internal/fanout/congestion/delay"
	"weever/mediad/internal/fanout/congestion/report"
)

// When reports fail though packets are sent, the rate holds for blindAfter, then falls to blindShare, and again every blindStep until a
// report comes.
const (
	blindAfter = time.Second
	blindStep  = time.Second
	blindShare = 0.7
)

// burstAge is for how long, in µs, it is of use how fast a burst came.
const burstAge = 1_000_000

// DefaultStart is the rate before anything is known, in bit/s: a good picture for most, and soon corrected for the others.
const DefaultStart = 2_000_000

// State says what a reading rests on.
type State uint8

const (
	// Starting says that no report has come yet, or too few. A client that never sends any stays here.
	Starting State = iota
	// Steady says that the link carries what is sent.
	Steady
	// Draining says that it does, and that a queue is getting shorter.
	Draining
	// Congested says that it carries less: a queue grows, or much is lost.
	Congested
	// Blind says that reports have stopped though packets are sent.
	Blind

	// States is how many there are.
	States
)

// String returns the state as it stands in logs.
func (s State) String() string {
	return [...]string{Starting: "starting", Steady: "steady", Draining: "draining", Congested: "congested", Blind: "blind"}[s]
}

// Reading is what is known of the link at a moment. Rates are in bit/s and count bytes as Sent does.
type Reading struct {
	State     State
	Rate      int           // that the link is thought to carry
	Delivered int           // that arrived of late; 0: not known
	Burst     int           // at which the last large burst came through, in the last second; 0: there was none, or it came too fast to tell
	Loss      float64       // share of the packets lost of late, 0 to 1
	Queue     time.Duration // by how much packets are late, beyond the least of late
	RTT       time.Duration // from sending to the report, queue included; 0: not known
}

// Stats counts what was reported since the beginning.
type Stats struct {
	Reports   uint64 // taken in
	Malformed uint64
	Repeated  uint64 // seen already
	Cuts      uint64 // times that the rate fell, for delays or losses
}

// Estimator is the estimate for one viewer's connection. All methods may be called by any goroutine at any time and take as long as it
// takes to read a report at most. None allocates but Sent, which makes the history at first and up to twice makes it larger: 17 KB in all.
type Estimator struct {
	mu      sync.Mutex
	begin   time.Time // of the first packet: times in µs count from here
	history history
	delay   delay.Meter
	arrived delivery
	losses  losses
	control control
	stats   Stats

	heard     bool          // a report has been taken in
	last      report.Header // of the last one
	reference int64         // its reference time, counted on without wrapping
	covered   int64         // packets below this have been reported on
	trip      int64         // µs; 0: not known
	burst     float64
	burstAt   int64 // µs
	unheard   int64 // µs when the first packet since the last report was sent; -1: none was
	faded     int   // steps of blindness taken already
}

// New returns an Estimator that begins with a rate in bit/s; 0: DefaultStart.
func New(start int) *Estimator {
	if start <= 0 {
		start = DefaultStart
	}
	e := &Estimator{unheard: -1}
	e.control.set(float64(start))
	return e
}

// Sent notes a packet of size bytes that is about to be sent and returns the transport-wide sequence number to send it with. Call it in
// the order of sending, for everything that carries the header extension, retransmissions too. The packets of one burst may share one
// time, but each viewer's burst needs its own: what is written last leaves milliseconds later.
func (e *Estimator) Sent(size int, at time.Time) (seq uint16) {
	e.mu.Lock()
	if e.history.next == 0 {
		e.begin = at
	}
	now := e.micros(at)
	if e.unheard < 0 {
		e.unheard = now
	}
	n := e.history.add(now, size)
	e.mu.Unlock()
	return uint16(n)
}

// Feedback takes in one transport-layer feedback packet (RTCP type 205, format 15) as the viewer sent it. b is borrowed, may be anything
// and may have other packets behind it. The error is report.ErrMalformed. What tells nothing new changes nothing: pion hands one report to
// several readers when it names several tracks.
func (e *Estimator) Feedback(b []byte, now time.Time) error {
	r, err := report.Parse(b)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil:
		e.stats.Malformed++
		return err
	case e.heard && r.Header == e.last:
		e.stats.Repeated++
		return nil
	case e.history.next == 0:
		return nil
	}
	e.stats.Reports++
	e.learn(r, e.micros(now))
	return nil
}

func (e *Estimator) micros(t time.Time) int64 { return t.Sub(e.begin).Microseconds() }

// learn takes a report in.
func (e *Estimator) learn(r report.Report, now int64) {
	if e.heard {
		e.reference += int64(int32((r.Reference-uint32(e.reference))<<8) >> 8) // 24 bits, and reports may overtake each other
	} else {
		e.heard, e.reference = true, int64(r.Reference)
	}
	e.last = r.Header
	if !e.read(r, now) {
		return
	}
	e.unheard, e.faded = -1, 0
	if rate, ok := e.delay.TakeBurst(); ok {
		e.burst, e.burstAt = rate, now
	}
	v := evidence{link: e.delay.Usage(), queue: e.delay.Queue(), trip: e.trip, losses: &e.losses, lossNew: e.losses.close(now)}
	v.delivered, v.measured = e.arrived.rate()
	v.peak, _ = e.arrived.peak()
	before := e.control.cut
	e.control.update(now, v)
	if e.control.cut != before {
		e.stats.Cuts++
	}
}

// read goes through the packets that a report tells of. It reports whether one was not known to have arrived.
func (e *Estimator) read(r report.Report, now int64) (fresh bool) {
	h := &e.history
	n := h.number(r.Base)
	arrived := e.reference * report.Tick
	for walk := r.Walk(); walk.More(); {
		run, received := walk.Next()
		if !received {
			e.missed(n, n+int64(run))
			n += int64(run)
			continue
		}
		for range run {
			arrived += walk.Delta()
			if n >= h.oldest() && n < h.next && h.at(n).fate != confirmed {
				if !fresh {
					e.assume(n, arrived)
				}
				e.came(n, arrived, now)
				fresh = true
			}
			n++
		}
	}
	e.covered = max(e.covered, min(n, h.next))
	return fresh
}

// came notes that a packet arrived that was not known to have.
func (e *Estimator) came(n, arrived, now int64) {
	p := e.history.at(n)
	sentAt := since(p.at, now)
	switch p.fate {
	case lost: // it was only late
		e.losses.gone--
		fallthrough
	case flying:
		e.arrived.add(arrived, int(p.size))
	case assumed, confirmed:
	}
	p.fate = confirmed
	e.losses.got++
	if n >= e.covered {
		e.trip = max(now-sentAt, 1)
	}
	e.delay.Add(sentAt, arrived, int(p.size))
}

// missed notes that the packets from one number up to another have not arrived.
func (e *Estimator) missed(from, to int64) {
	h := &e.history
	for n := max(from, h.oldest()); n < min(to, h.next); n++ {
		if p := h.at(n); p.fate == flying {
			p.fate = lost
			e.losses.gone++
		}
	}
}

// assume counts the packets before n that no report told of as delivered: reports get lost, too, and are not repeated.
func (e *Estimator) assume(before, arrived int64) {
	h := &e.history
	for n := max(e.covered, h.oldest()); n < before; n++ {
		if p := h.at(n); p.fate == flying {
			p.fate = assumed
			e.arrived.add(arrived, int(p.size))
		}
	}
}

// Rest says that nothing will be sent for a while: that no reports come is no bad sign then.
func (e *Estimator) Rest() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unheard, e.faded = -1, 0
}

// Read says what is known now. That reports fail is noticed here: call it a few times a second.
func (e *Estimator) Read(now time.Time) Reading {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.micros(now)
	r := Reading{
		State: e.state(at), Rate: int(e.control.rate), Loss: e.losses.share,
		Queue: e.delay.Queue(), RTT: time.Duration(e.trip) * time.Microsecond,
	}
	if rate, ok := e.arrived.rate(); ok {
		r.Delivered = int(rate)
	}
	if at-e.burstAt < burstAge {
		r.Burst = int(e.burst)
	}
	return r
}

// state says what the rate rests on, and lets it fall while that is nothing.
func (e *Estimator) state(now int64) State {
	if e.heard && e.unheard >= 0 {
		if blind := time.Duration(now-e.unheard)*time.Microsecond - blindAfter; blind >= 0 {
			for ; e.faded <= int(blind/blindStep) && e.control.rate > leastRate; e.faded++ {
				e.control.set(e.control.rate * blindShare)
			}
			return Blind
		}
	}
	switch {
	case !e.heard || !e.delay.Ready():
		return Starting
	case e.delay.Usage() == delay.Overuse || e.losses.certain > heavyLoss:
		return Congested
	case e.delay.Usage() == delay.Underuse:
		return Draining
	}
	return Steady
}

// Stats reads the counters.
func (e *Estimator) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}
