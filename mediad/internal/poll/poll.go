// Package poll asks a question again and again while somebody wants the answer, once for all who do.
//
// Sessions watch keys; one goroutine per key asks, from the first Watch to the last Stop. What a key means, and where the answer comes
// from, is the caller's.
package poll

import (
	"context"
	"sync"
	"time"
)

// firstPause is the most between the first asking and the second, so that answers which compare two do not take long.
const firstPause = time.Second

// Poll answers questions of one kind. Its methods may be called by any goroutine.
type Poll[K comparable, V any] struct {
	ctx    context.Context //nolint:containedctx // ends all asking
	period time.Duration
	ask    func(ctx context.Context, key K, last V) (V, error)

	mu        sync.Mutex // guards what follows
	questions map[K]*question[V]
	work      sync.WaitGroup // one per question; added to under mu
}

// question is a key that somebody watches. It is guarded by the poll's mu.
type question[V any] struct {
	cancel   context.CancelFunc
	watchers map[chan<- struct{}]int // whom to tell, and how many of their watches are on this key
	answer   V
	known    bool
}

// New makes a Poll that asks every period until ctx ends. ask is given the last answer, at first the zero V; it may wait for as long as
// its context lets it, which is a period. When it fails, the last answer stands.
func New[K comparable, V any](ctx context.Context, period time.Duration, ask func(ctx context.Context, key K, last V) (V, error)) *Poll[K, V] {
	return &Poll[K, V]{ctx: ctx, period: period, ask: ask, questions: map[K]*question[V]{}}
}

// Watch is one party's interest in a key.
type Watch[K comparable, V any] struct {
	poll    *Poll[K, V]
	key     K
	q       *question[V]
	changed chan<- struct{}
	once    sync.Once
}

// Watch has key asked from now on. After each answer changed gets a value, if it has room for one; it should have room for one, and may
// serve several watches.
func (p *Poll[K, V]) Watch(key K, changed chan<- struct{}) *Watch[K, V] {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.questions[key]
	if q == nil {
		ctx, cancel := context.WithCancel(p.ctx)
		q = &question[V]{cancel: cancel, watchers: map[chan<- struct{}]int{}}
		p.questions[key] = q
		p.work.Go(func() { p.run(ctx, key, q) })
	}
	q.watchers[changed]++
	if q.known {
		tell(changed)
	}
	return &Watch[K, V]{poll: p, key: key, q: q, changed: changed}
}

// Latest is the last answer; false before the first. It does not wait.
func (w *Watch[K, V]) Latest() (V, bool) {
	w.poll.mu.Lock()
	defer w.poll.mu.Unlock()
	return w.q.answer, w.q.known
}

// Stop ends the interest; calling it again does nothing. changed may still get a value that was on its way.
func (w *Watch[K, V]) Stop() {
	w.once.Do(func() {
		p, q := w.poll, w.q
		p.mu.Lock()
		defer p.mu.Unlock()
		if q.watchers[w.changed]--; q.watchers[w.changed] == 0 {
			delete(q.watchers, w.changed)
		}
		if len(q.watchers) == 0 {
			q.cancel()
			delete(p.questions, w.key)
		}
	})
}

// Wait returns when nothing is asked any more: every watch was stopped or the poll's context has ended. Watch must not be called then.
func (p *Poll[K, V]) Wait() { p.work.Wait() }

// run asks until ctx ends. Only it writes the answer.
func (p *Poll[K, V]) run(ctx context.Context, key K, q *question[V]) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	next := min(p.period, firstPause)
	var last V
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		ask, cancel := context.WithTimeout(ctx, p.period)
		answer, err := p.ask(ask, key, last)
		cancel()
		if err == nil {
			last = answer
			p.deliver(q, answer)
		}
		pause.Reset(next)
		next = p.period
	}
}

func (p *Poll[K, V]) deliver(q *question[V], answer V) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.answer, q.known = answer, true
	for changed := range q.watchers {
		tell(changed)
	}
}

func tell(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default: // it has one already
	}
}
