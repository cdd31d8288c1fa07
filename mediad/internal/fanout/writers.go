package fanout

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/padding"
	"weever/mediad/internal/udpio"
)

// This file is the way from a stream's history to its sinks. Whoever writes to a stream only stores packets; a few writers, which the
// node makes once and all streams share, hand them on. What arrives while a writer is busy with the burst before makes the next
// burst, so bursts become longer as load grows, and a slow burst holds up nobody who reads from the network.

const (
	burstPackets = 32  // of one stream in one go, at most: see portion
	leastPackets = 8   // of one stream in one go, however many sinks there are: a frame
	goPackets    = 512 // to all sinks of a shard in one go, about: see portion
	shardSinks   = 64  // a stream with more sinks than this is served by several writers
)

// Writers are goroutines that write bursts, each with a batch of its own for what goes to the network.
type Writers struct {
	list  []*writer
	spare sync.Pool // of batches, for alone
}

// NewWriters returns n writers. They work while Run does. In the middle of a long burst they call relieve, if it is not nil, to let others in:
// it has those run who wait for the network, which Go's scheduler does not look at while there is other work.
func NewWriters(n int, relieve func()) *Writers {
	w := &Writers{spare: sync.Pool{New: func() any { return udpio.NewBatch() }}}
	for range n {
		one := newWriter()
		one.out, one.relieve = udpio.NewBatch(), relieve
		w.list = append(w.list, one)
	}
	return w
}

// Run works until ctx ends; what is stored later reaches no sink.
func (w *Writers) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, one := range w.list {
		g.Go(func() error {
			one.run(ctx)
			return nil
		})
	}
	return g.Wait()
}

// alone lends a batch to write, which is not one of the writers, and flushes it afterwards. Without writers there is none.
func (w *Writers) alone(write func(out *udpio.Batch)) {
	if w == nil {
		write(nil)
		return
	}
	out := w.spare.Get().(*udpio.Batch) //nolint:forcetypeassert // nothing else is put there
	write(out)
	out.Flush()
	w.spare.Put(out)
}

// size is how many there are.
func (w *Writers) size() int {
	if w == nil {
		return 0
	}
	return len(w.list)
}

// pick returns the writer with the fewest sinks among those that serve none of these shards, of which there are fewer than writers. Without
// writers it makes one, for whoever writes to the stream to run.
func (w *Writers) pick(not []*shard) (best *writer) {
	if w == nil {
		return newWriter()
	}
	for _, one := range w.list {
		serves := func(sh *shard) bool { return sh.writer == one }
		if !slices.ContainsFunc(not, serves) && (best == nil || one.load.Load() < best.load.Load()) {
			best = one
		}
	}
	return best
}

// writer serves shards, one after the other.
type writer struct {
	wake chan struct{}
	out  *udpio.Batch // nil: sinks send each packet by itself
	load atomic.Int32 // sinks that it serves

	relieve func() // see NewWriters

	// Of its goroutine.
	space []Packet // of burst
	burst []Packet
	buf   []byte
	ready []job

	mu    sync.Mutex
	queue []job // each is in it once at most
}

// job is what a writer has to do: a shard or a Task.
type job interface {
	serve(w *writer) (more bool)
}

// Task is work for a writer besides streams: what viewers report is answered with packets that leave in the same batches.
type Task struct {
	run    func(out *udpio.Batch)
	writer *writer
}

// Task returns one that a writer runs each time it is posted, never two at a time; it must not block. Without writers whoever posts it runs it.
func (w *Writers) Task(run func(out *udpio.Batch)) *Task {
	t := &Task{run: run}
	if w != nil {
		t.writer = w.list[rand.IntN(len(w.list))]
	}
	return t
}

// Post has the task run soon. It does not block. It must not be called again before the task has begun to run.
func (t *Task) Post() {
	if t.writer == nil {
		t.run(nil)
		return
	}
	t.writer.push(t)
}

func (t *Task) serve(w *writer) (more bool) {
	t.run(w.out)
	return false
}

func newWriter() *writer {
	return &writer{wake: make(chan struct{}, 1), space: make([]Packet, 0, burstPackets)}
}

// push asks for a job to be done. It does not block.
func (w *writer) push(j job) {
	w.mu.Lock()
	w.queue = append(w.queue, j)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		runtime.Gosched() // the goroutines that bring the rest of the same burst are ready to run: let them
		for w.take() {
			w.ready = slices.DeleteFunc(w.ready, func(j job) bool { return !j.serve(w) })
			if len(w.ready) > 0 {
				w.pause()
			}
			for _, j := range w.ready {
				w.push(j)
			}
			clear(w.ready)
		}
		w.out.Flush()
	}
}

// pause lets others go first in the middle of a long burst: what has been written leaves, and what has come meanwhile is queued.
func (w *writer) pause() {
	w.out.Flush()
	if w.relieve != nil {
		w.relieve()
	}
	runtime.Gosched()
}

// take moves what is queued to ready, and reports whether there is any.
func (w *writer) take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready, w.queue = w.queue, w.ready[:0]
	return len(w.ready) > 0
}

// shard is a part of a stream's sinks, served by one writer. The stream's mutex guards it.
type shard struct {
	stream *Stream
	writer *writer
	sinks  []*attachment // never changed in place
	next   uint64        // arrival that the sinks get next
	report bool          // the stream's sender report is to be passed on
	queued bool          // the writer knows of it
}

// due reports whether there is anything for the sinks; the caller holds the stream's mutex.
func (sh *shard) due() bool {
	return len(sh.sinks) > 0 && (sh.report || sh.next < sh.stream.ring.Arrived())
}

// serve hands a burst to the sinks, and reports whether there is more.
func (sh *shard) serve(w *writer) (more bool) {
	s := sh.stream
	s.mu.Lock()
	from := sh.collect(w)
	sinks, report, reported := sh.sinks, s.report, sh.report
	sh.report = false
	more = sh.next < s.ring.Arrived()
	sh.queued = more
	s.mu.Unlock()
	for _, a := range sinks {
		if reported {
			a.sink.WriteReport(w.out, report)
		}
		if skip := max(a.from, from) - from; skip < uint64(len(w.burst)) {
			a.sink.WritePackets(w.out, w.burst[skip:])
		}
	}
	return more
}

// portion is how many packets the sinks get before the writer's other jobs have their turn: about goPackets in all.
func (sh *shard) portion() int {
	return min(burstPackets, max(leastPackets, goPackets/max(1, len(sh.sinks))))
}

// collect copies what the shard's sinks get next into the writer's burst and returns the arrival of the first packet; the caller holds
// the stream's mutex.
func (sh *shard) collect(w *writer) (from uint64) {
	w.burst, w.buf, from = sh.stream.ring.Arrivals(sh.next, w.space[:0:sh.portion()], w.buf[:0])
	if from > sh.next {
		sh.stream.drops.Add(drop.Overrun, int(from-sh.next)*len(sh.sinks)) //nolint:gosec // far from it
	}
	sh.next = from + uint64(len(w.burst))
	padding.Equalise(w.burst)
	return from
}
