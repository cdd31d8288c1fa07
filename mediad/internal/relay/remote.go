package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/relay/batch"
	"weever/mediad/internal/relay/tally"
	"weever/shared/room"
)

const (
	callTimeout = time.Second
	firstRetry  = 100 * time.Millisecond
	maxWaiting  = 256         // media messages that wait for this node: 8 s of video frames, 5 s of sound
	loadGrace   = time.Second // after which viewers of media that flows do not wait for the past any more
	maxReplayed = 4 << 20     // bytes of the past that are fetched, a bound on what an owner can make us do

	// The subscription may reach the owner's server after the lease did, by another route of the cluster. What fell in between is
	// fetched by a second look.
	secondLook = 100 * time.Millisecond
)

// remote is a stream of another node, fed over the bus while this node has handles on it. Open makes it; its goroutines end with the
// last handle or with the relay.
type remote struct {
	relay   *Relay
	subject string
	owner   string // instance
	lease   string
	stream  *fanout.Stream
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	handles int // guarded by the relay's mu

	in     chan *nats.Msg
	past   chan []byte   // media messages out of the owner's history, for feed
	loaded chan struct{} // closed when the past is complete, as far as it could be had
	wishes chan struct{} // a key frame is wanted

	until  atomic.Int64 // when the lease ends, in Unix nanoseconds; 0: there is none
	forget func()       // takes the stream off the relay's tally

	sub     *nats.Subscription // owned by run
	dropped int                // of what sub dropped, counted so far
}

func newRemote(r *Relay, key Key, subject, owner string, track room.Track) (*remote, error) {
	r.opened++
	m := &remote{
		relay: r, subject: subject, owner: owner, lease: fmt.Sprintf("%s.%d", r.cfg.Instance, r.opened),
		log: r.cfg.Log.With("room", key.Room.String(), "peer", key.Publisher.String(), "track", key.Track),
		in:  make(chan *nats.Msg, maxWaiting), past: make(chan []byte), loaded: make(chan struct{}), wishes: make(chan struct{}, 1),
	}
	stream, err := fanout.NewStream(fanout.StreamConfig{
		Codec: track.Codec, Fmtp: track.Fmtp, Clock: track.Clock, Writers: r.cfg.Writers, Held: true,
		KeyframeWish: func() {
			select {
			case m.wishes <- struct{}{}:
			default: // one waits already
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("stream of another node: %w", err)
	}
	m.stream, m.forget = stream, r.streams.Enter(tally.Remote, stream)
	m.ctx, m.cancel = context.WithCancel(r.ctx)
	return m, nil
}

// leave is the end of one handle.
func (m *remote) leave() {
	m.relay.mu.Lock()
	defer m.relay.mu.Unlock()
	if m.handles--; m.handles == 0 {
		delete(m.relay.remotes, m.subject)
		m.cancel()
	}
}

// run subscribes, then feeds the stream and keeps the lease until the end.
func (m *remote) run() {
	defer m.stream.Close()
	defer m.forget()
	defer m.cancel()
	if m.sub = m.subscribe(); m.sub == nil {
		return
	}
	defer func() {
		m.countDropped()
		_ = m.sub.Unsubscribe() // fails only with the connection, and then it is gone anyway
	}()
	m.relay.work.Go(m.feed)
	m.keepLease()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_ = m.interest(ctx, 0) // else it expires by itself
}

// countDropped counts what came faster than this node could read.
func (m *remote) countDropped() {
	if n, err := m.sub.Dropped(); err == nil {
		m.relay.count.Drop(batch.SlowConsumer, n-m.dropped)
		m.dropped = n
	}
}

// subscribe returns when the server knows the subscription, so that no packet of a lease asked for afterwards is missed; nil at the
// end of ctx.
func (m *remote) subscribe() *nats.Subscription {
	nc := m.relay.cfg.Media
	wait := firstRetry
	for {
		sub, err := nc.ChanSubscribe(m.subject, m.in)
		if err == nil {
			for m.ctx.Err() == nil {
				flush, cancel := context.WithTimeout(m.ctx, callTimeout)
				err := nc.FlushWithContext(flush)
				cancel()
				if err == nil {
					return sub
				}
				m.pause(firstRetry)
			}
			_ = sub.Unsubscribe()
			return nil
		}
		if !m.pause(wait) {
			return nil
		}
		wait = min(2*wait, m.relay.cfg.Renew)
	}
}

// pause waits; false: ctx has ended.
func (m *remote) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-m.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// keepLease holds the lease, fetches the past once it has it, and passes wishes on.
func (m *remote) keepLease() {
	timer, again := time.NewTimer(0), time.NewTimer(time.Hour)
	defer timer.Stop()
	defer again.Stop()
	retry, held := firstRetry, time.Time{}
	failing, begin := false, sync.OnceFunc(func() { close(m.loaded) })
	var cursor fanout.Cursor
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.wishes:
			_, _ = m.call(m.ctx, verbKeyframe, call{}) // who still needs one asks again
		case <-again.C:
			m.fetch(cursor)
		case <-timer.C:
			m.countDropped()
			err := m.interest(m.ctx, m.relay.cfg.TTL)
			if m.ctx.Err() != nil {
				return
			}
			if err != nil {
				if !failing {
					m.log.Warn("cannot get a stream from its node; trying on", "err", err)
				}
				failing = true
				timer.Reset(retry)
				retry = min(2*retry, m.relay.cfg.Renew)
				continue
			}
			if time.Since(held) > m.relay.cfg.TTL { // the first time, or there is a hole
				if cursor = m.fetch(0); cursor != 0 {
					again.Reset(secondLook)
				}
				begin()
			}
			failing, retry, held = false, firstRetry, time.Now()
			timer.Reset(m.relay.cfg.Renew)
		}
	}
}

// fetch reads the owner's history from cursor on and returns the last cursor it got.
func (m *remote) fetch(cursor fanout.Cursor) fanout.Cursor {
	for size := 0; size < maxReplayed; {
		reply, err := m.call(m.ctx, verbReplay, call{Cursor: cursor})
		if err != nil {
			return cursor
		}
		next, msg, more := batch.SplitPast(reply)
		if !more || next <= cursor {
			return cursor
		}
		select {
		case m.past <- msg:
		case <-m.ctx.Done():
			return 0
		case <-time.After(callTimeout): // viewers are slow: the lease matters more
			return cursor
		}
		cursor = next
		size += len(reply)
	}
	return cursor
}

// interest asks for the stream for so long; 0: no more.
func (m *remote) interest(ctx context.Context, ttl time.Duration) error {
	began := time.Now()
	_, err := m.call(ctx, verbInterest, call{Lease: m.lease, TTL: ttl.Milliseconds()})
	if err == nil {
		was := m.until.Swap(began.Add(ttl).UnixNano())
		if ttl > 0 && was > began.UnixNano() { // a renewal: the first time more is done, the last time it matters to nobody
			m.relay.cfg.Hop(time.Since(began) / 2)
		}
	}
	return err
}

// call asks the owner.
func (m *remote) call(ctx context.Context, verb string, c call) ([]byte, error) {
	c.Subject = m.subject
	req, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", verb, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return m.relay.cfg.Calls.Call(ctx, m.owner, verb, req)
}

// feed is the stream's writer. Until the past is loaded, viewers and live media wait, the latter in the subscription.
func (m *remote) feed() {
	grace := time.NewTimer(loadGrace)
	defer grace.Stop()
	receiver := batch.NewReceiver(m.stream, &m.relay.count)
	loaded := m.loaded
	var live chan *nats.Msg
	for {
		select {
		case <-m.ctx.Done():
			return
		case past := <-m.past:
			receiver.Past(past)
			continue
		case <-loaded:
		case <-grace.C:
		case msg := <-live:
			receiver.Live(msg.Data)
			continue
		}
		loaded, live = nil, m.in
		m.stream.Release()
	}
}
