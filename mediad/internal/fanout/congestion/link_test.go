package congestion_test

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
)

// A model of the way to a viewer and back, in simulated time: a bottleneck with a queue, delay, jitter and losses, and a browser at its
// end that reports as browsers do (pion's recorder follows Chromium's).

// clock runs what is due, in order of time.
type clock struct {
	now    time.Time
	events events
	count  int
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (c *clock) after(d time.Duration, do func()) {
	c.count++
	heap.Push(&c.events, event{c.now.Add(d), c.count, do})
}

// every does something at an interval, the first time after offset.
func (c *clock) every(offset, interval time.Duration, do func()) {
	c.after(offset, func() {
		do()
		c.every(interval, interval, do)
	})
}

func (c *clock) run(until time.Time) {
	for len(c.events) > 0 && !c.events[0].at.After(until) {
		e := heap.Pop(&c.events).(event)
		c.now = e.at
		e.do()
	}
	c.now = until
}

// way is the network.
type way struct {
	rate     float64       // bit/s of the bottleneck
	limit    time.Duration // what the queue holds, at that rate
	delay    time.Duration // each way
	jitter   time.Duration // more or less, at random
	ordered  bool          // jitter holds packets back, but lets none overtake
	loss     float64       // of packets, at random
	lossBack float64       // of reports
	every    time.Duration // interval of reports
	dead     bool          // nothing passes
}

// network is a way at work.
type network struct {
	*clock
	way
	rng      *rand.Rand
	free     time.Time // when the bottleneck has sent all that waits
	last     time.Time // latest arrival
	recorder *twcc.Recorder
	back     func([]byte) // takes a report

	longest time.Duration // queue
	dropped int
	arrived int // bytes
}

func newNetwork(c *clock, w way, seed uint64, back func([]byte)) *network {
	n := &network{clock: c, way: w, rng: rand.New(rand.NewPCG(seed, 1)), recorder: twcc.NewRecorder(1), back: back}
	c.every(w.every, w.every, n.report)
	return n
}

// queue is how long a packet would wait now.
func (n *network) queue() time.Duration { return max(n.free.Sub(n.now), 0) }

// send puts a packet on the way; arrive is done at its end.
func (n *network) send(size int, arrive func()) {
	wait := n.queue()
	if wait > n.limit || n.dead {
		n.dropped++
		return
	}
	n.longest = max(n.longest, wait)
	n.free = n.now.Add(wait + time.Duration(float64(size*8)/n.rate*float64(time.Second)))
	at := n.free.Add(n.delay)
	if n.jitter > 0 {
		at = at.Add(time.Duration((2*n.rng.Float64() - 1) * float64(n.jitter)))
	}
	if n.ordered && at.Before(n.last) {
		at = n.last
	}
	n.last = at
	if n.rng.Float64() < n.loss {
		n.dropped++
		return
	}
	n.after(at.Sub(n.now), func() {
		n.arrived += size
		arrive()
	})
}

// packet sends one that is reported on.
func (n *network) packet(seq uint16, size int) {
	n.send(size, func() { n.recorder.Record(2, seq, n.now.UnixMicro()) })
}

func (n *network) report() {
	for _, p := range n.recorder.BuildFeedbackPacket() {
		b, err := p.Marshal()
		if err != nil {
			panic(err)
		}
		if n.rng.Float64() < n.lossBack || n.dead {
			continue
		}
		n.after(n.delay, func() { n.back(b) })
	}
}
