package events

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"weever/shared/room"
)

// This file is used by the roster, which listens to rooms, and by sessions, which tell what became of them. See said.go for talk.

const (
	maxPending   = 4096            // events that may wait for one subscriber
	maxPendBytes = 8 << 20         // and their bytes; what comes above either is dropped by the client
	settleLimit  = time.Second     // how long to wait until the server knows of a subscription
	logEvery     = 5 * time.Second // of dropped messages
)

// Bus sends and receives events over a connection that main made and closes. It may be used by several goroutines.
type Bus struct {
	nc      *nats.Conn
	prefix  string // of the subjects of events
	said    string // and of what is said
	log     *slog.Logger
	sent    atomic.Uint64
	heard   atomic.Uint64
	dropped atomic.Uint64
	quiet   rate.Sometimes

	mu   sync.Mutex // guards what follows
	subs map[*nats.Subscription]struct{}
	slow uint64 // what ended ones of subs lost
}

// New makes a bus whose subjects begin with ns, a namespace by the rules of room names. The connection may still be dialling.
func New(nc *nats.Conn, ns string, log *slog.Logger) *Bus {
	return &Bus{nc: nc, prefix: ns + ".v1.room.", said: ns + ".v1.said.", log: log, quiet: rate.Sometimes{First: 1, Interval: logEvery}, subs: map[*nats.Subscription]struct{}{}}
}

// Publish sends ev to every node that listens to the room, this one included. It hands it to the client's buffer and never waits
// for an answer. An error means that nobody will hear of it before they next look into Redis; there is nothing to repeat.
func (b *Bus) Publish(rm room.Name, ev Event) error {
	text, err := encode(ev)
	if err != nil {
		return err
	}
	if err := b.nc.Publish(b.prefix+rm.String(), text); err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	b.sent.Add(1)
	return nil
}

// Subscribe calls fn for each event of the room, one at a time, on a goroutine that ends with stop; fn must not wait for long: at
// most 4096 events wait for it, later ones are dropped. When Subscribe returns, the server this node is connected to delivers the
// room's events; while the connection is away (or slower than a second) it returns all the same and the
// subscription begins with the connection. fn may run once more, in part, while stop returns. stop may be called twice.
func (b *Bus) Subscribe(rm room.Name, fn func(Event)) (stop func(), err error) {
	stop, err = b.subscribe(b.prefix+rm.String(), func(m *nats.Msg) {
		ev, err := decode(m.Data)
		if err != nil {
			b.drop(rm, len(m.Data), err)
			return
		}
		b.heard.Add(1)
		fn(ev)
	})
	if err == nil {
		b.settle()
	}
	return stop, err
}

func (b *Bus) subscribe(subject string, fn nats.MsgHandler) (stop func(), err error) {
	sub, err := b.nc.Subscribe(subject, fn)
	if err != nil {
		return nil, fmt.Errorf("subscribe to a room: %w", err)
	}
	if err := sub.SetPendingLimits(maxPending, maxPendBytes); err != nil {
		_ = sub.Unsubscribe()
		return nil, fmt.Errorf("subscribe to a room: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[sub] = struct{}{}
	return func() { b.unsubscribe(sub) }, nil
}

func (b *Bus) unsubscribe(sub *nats.Subscription) {
	b.mu.Lock()
	if _, open := b.subs[sub]; open {
		delete(b.subs, sub)
		b.slow += lost(sub)
	}
	b.mu.Unlock()
	_ = sub.Unsubscribe() // it only fails when the connection is closed, and with it the subscription
}

// lost is how many messages the client dropped because we were slow.
func lost(sub *nats.Subscription) uint64 {
	n, err := sub.Dropped()
	if err != nil || n < 0 { // the connection is closed: the node ends
		return 0
	}
	return uint64(n)
}

// Reconnects returns a channel that gets a value, and keeps at most one, each time the connection to NATS came up and the
// subscriptions are in force again: what was sent in between has been lost. It is closed after ctx has ended.
func (b *Bus) Reconnects(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	status := b.nc.StatusChanged(nats.CONNECTED)
	go func() {
		defer close(out)
		defer func() { b.nc.RemoveStatusListener(status) }()
		for {
			select {
			case <-ctx.Done():
				return
			case <-status:
			}
			// The client forgets a listener that was not yet back at its channel when the next change came.
			b.nc.RemoveStatusListener(status)
			status = b.nc.StatusChanged(nats.CONNECTED)
			b.settle()
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}

// Stats is what went through a Bus since it was made.
type Stats struct {
	Sent, Heard uint64 // events; what is said is counted where it is said
	Unreadable  uint64 // messages that were neither events nor anything said
	Slow        uint64 // messages that came faster than this node read
}

// Stats reads the counters.
func (b *Bus) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := Stats{Sent: b.sent.Load(), Heard: b.heard.Load(), Unreadable: b.dropped.Load(), Slow: b.slow}
	for sub := range b.subs {
		st.Slow += lost(sub)
	}
	return st
}

// settle waits until the server has read all we sent it, if it is there.
func (b *Bus) settle() {
	if b.nc.IsConnected() {
		_ = b.nc.FlushTimeout(settleLimit)
	}
}

func (b *Bus) drop(rm room.Name, size int, err error) {
	n := b.dropped.Add(1)
	b.quiet.Do(func() {
		b.log.Warn("message on a subject of rooms dropped; another program or version sent it",
			"room", rm.String(), "bytes", size, "dropped", n, "err", err)
	})
}
