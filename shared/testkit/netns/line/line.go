// Package line is a bad cable in user space: packets take their time on it, and some get lost.
//
// It stands for a netem queue, which many kernels come without, and is the same everywhere. Package netns makes a Line between two
// machines; a test makes it as bad as it wants, at any time.
package line

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queued    = 8192                   // packets that are on their way at a time, each way
	maxFrame  = 1514                   // bytes: Ethernet's header and 1500
	etherType = 12                     // where a frame says what it is
	typeIPv4  = 0x0800                 // it is that
	packet    = 14                     // where it begins then
	ipHeader  = 20                     // its header's length, at least
	ipProto   = 9                      // where that says what follows
	protoTCP  = 6                      // it is that
	protoUDP  = 17                     // it is that
	early     = 200 * time.Microsecond // a packet may be: timers are not free
)

// Way is one of the two directions of a Line.
type Way int

// The ways, as the station sees them.
const (
	ToStation Way = iota
	FromStation
)

// Weather is what befalls the packets of one way of a Line. The zero value is fine weather.
type Weather struct {
	Delay time.Duration // of each packet; they do not overtake each other when it changes
	Loss  float64       // share of packets that get lost, 0 to 1

	// Judge is told of each packet that may get lost, from its IP header on, and what chance has decided; it says whether it is lost. It
	// runs on the line's own goroutine, one for each way: it must not block, and it borrows the packet. nil: chance decides.
	Judge func(ip []byte, lost bool) bool
}

// Stats is a count of the packets of one way.
type Stats struct {
	Passed  uint64 // given to the other end
	Lost    uint64 // by Weather
	Dropped uint64 // more came than the line can carry
}

// End is one of the two ends: an interface that Open has made.
type End struct {
	File      *os.File
	Overflows func() uint64 // packets so far that the kernel could not keep for us to read
}

// Line moves frames between two interfaces, each in its time: two goroutines for each way. It carries some ten thousand a second, to about
// a millisecond while the machine is not busy, and keeps their order.
//
// Only packets of UDP and TCP over IPv4 get lost. A lost question of ARP would cost a second, which is not what a test of loss is about.
type Line struct {
	ends [2]End // where the packets of each Way are read
	ways [2]way
	done chan struct{} // closed at the end
	work sync.WaitGroup
}

// New connects the ends: what the kernel sends on near goes to the station on far. Chance has a seed. The weather is fine. The caller calls
// Close.
func New(near, far End, seed uint64) *Line {
	l := &Line{ends: [2]End{near, far}, done: make(chan struct{})}
	for w := range l.ways {
		way := &l.ways[w]
		way.from, way.to = l.ends[w].File, l.ends[1-w].File
		way.weather.Store(&Weather{})
		way.queue = make(chan *frame, queued)
		way.pool.New = func() any { return new(frame) }
		way.chance = rand.New(rand.NewPCG(seed, uint64(w))) //nolint:gosec // 0 or 1
		l.work.Go(way.read)
		l.work.Go(func() { way.write(l.done) })
	}
	return l
}

// Close removes both interfaces. What is on its way is lost.
func (l *Line) Close() {
	close(l.done)
	for _, e := range l.ends {
		_ = e.File.Close()
	}
	l.work.Wait()
}

// way is one direction: read fills the queue, write empties it.
type way struct {
	from, to *os.File
	weather  atomic.Pointer[Weather]
	queue    chan *frame
	pool     sync.Pool
	chance   *rand.Rand // read's

	passed, lost, full atomic.Uint64
}

// frame is a packet on its way.
type frame struct {
	due time.Time
	n   int
	buf [maxFrame]byte
}

// Set changes the weather of one way, for packets that come from now on.
func (l *Line) Set(w Way, weather Weather) { l.ways[w].weather.Store(&weather) }

// Stats counts what went one way so far.
func (l *Line) Stats(w Way) Stats {
	way := &l.ways[w]
	return Stats{Passed: way.passed.Load(), Lost: way.lost.Load(), Dropped: way.full.Load() + l.ends[w].Overflows()}
}

// read takes frames in until the file is closed.
func (w *way) read() {
	defer close(w.queue)
	var last time.Time
	for {
		f := w.pool.Get().(*frame)
		n, err := w.from.Read(f.buf[:])
		if err != nil {
			return
		}
		weather := w.weather.Load()
		f.n, f.due = n, time.Now().Add(weather.Delay)
		if f.due.Before(last) {
			f.due = last
		}
		last = f.due
		if w.loses(weather, f.buf[:n]) {
			w.lost.Add(1)
			w.pool.Put(f)
			continue
		}
		select {
		case w.queue <- f:
		default:
			w.full.Add(1)
			w.pool.Put(f)
		}
	}
}

func (w *way) loses(weather *Weather, b []byte) bool {
	if len(b) < packet+ipHeader || binary.BigEndian.Uint16(b[etherType:]) != typeIPv4 {
		return false
	}
	if proto := b[packet+ipProto]; proto != protoUDP && proto != protoTCP {
		return false
	}
	lost := weather.Loss > 0 && w.chance.Float64() < weather.Loss
	if weather.Judge != nil {
		lost = weather.Judge(b[packet:], lost)
	}
	return lost
}

// write gives frames out when their time has come.
func (w *way) write(done <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for f := range w.queue {
		if wait := time.Until(f.due); wait > early {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-done:
			}
		}
		if _, err := w.to.Write(f.buf[:f.n]); err == nil {
			w.passed.Add(1)
		} else {
			w.full.Add(1)
		}
		w.pool.Put(f)
	}
}
