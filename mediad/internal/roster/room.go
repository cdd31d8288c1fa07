package roster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/store"
)

// Room is one user's hold on a room that is kept up to date. It is made by Open, belongs to a session, and ends with Close; its
// methods may be used by several goroutines.
type Room struct {
	r      *Roster
	t      *table
	closed atomic.Bool
}

// View is the room now. It does not wait.
func (h *Room) View() *View { return h.t.current() }

// Watch returns a channel that says "look again": it holds at most one value, has one at the start and gets one after each change,
// so however slow the reader, it ends up with the latest View and nothing piles up. The channel is never closed; stop ends it.
func (h *Room) Watch() (changed <-chan struct{}, stop func()) { return h.t.watch() }

// Apply takes in what happened, at once and once: its echo from the bus changes nothing.
func (h *Room) Apply(ev events.Event) { h.r.apply(h.t, ev) }

// Tell makes known what the store has just done for this node: here at once, elsewhere over the bus. A change with Seq 0 is no news
// and is passed over. The error is for the log: the other nodes will then learn of it from Redis.
func (h *Room) Tell(kind events.Kind, c store.Change) error {
	if c.Seq == 0 {
		return nil
	}
	ev := events.Event{Prev: c.Prev, Seq: c.Seq, Kind: kind, Publisher: c.Publisher}
	h.Apply(ev)
	return h.r.bus.Publish(h.t.name, ev)
}

// Amend makes known on this node, and nowhere else, what tracks a publisher that it serves has now: for what Redis is yet to be told,
// which may be away. It is passed over when the room does not know p's incarnation. The next thing that is told of p stands in its place.
func (h *Room) Amend(p room.Publisher) { h.t.amend(p) }

// Close gives the hold back; the last one ends the room's subscription. Views stay readable. Close may be called twice.
func (h *Room) Close() {
	if h.closed.CompareAndSwap(false, true) {
		h.r.release(h.t)
	}
}

// table is a room that at least one session of this node is in.
type table struct {
	name   room.Name
	cancel context.CancelFunc // ends the loading
	ready  chan struct{}      // closed when loaded or failed

	// Guarded by Roster.mu until ready is closed, and fixed from then on, but for refs.
	refs   int
	stop   func() // ends the subscription; nil while loading and after a failure
	failed error

	skipped int // records of the last snapshot that could not be read; owned by whoever heals

	mu       sync.Mutex
	ledger   ledger
	view     *View // of the ledger; nil when it has changed since
	watchers map[chan struct{}]struct{}
}

func newTable(name room.Name, cancel context.CancelFunc) *table {
	return &table{
		name: name, cancel: cancel, ready: make(chan struct{}), ledger: newLedger(), watchers: map[chan struct{}]struct{}{},
	}
}

func (t *table) current() *View {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.view == nil {
		t.view = t.ledger.view()
	}
	return t.view
}

func (t *table) watch() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers[ch] = struct{}{}
	return ch, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, ch)
	}
}

// apply reports whether there is a gap after the event, and whether that has opened it.
func (t *table) apply(ev events.Event) (gap, opened bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.ledger.gap()
	t.after(t.ledger.apply(ev, time.Now()))
	gap = t.ledger.gap()
	return gap, gap && !before
}

func (t *table) amend(p room.Publisher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after(t.ledger.amend(p))
}

func (t *table) merge(snap store.Snapshot, asked int64, grace time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after(t.ledger.merge(snap, asked, time.Now(), grace))
}

// after wakes the watchers when the ledger has changed. t.mu is held.
func (t *table) after(changed bool) {
	if !changed {
		return
	}
	t.view = nil
	for ch := range t.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (t *table) doubt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ledger.doubt()
}

// known is the highest step the table has heard of, and whether some below it are missing.
func (t *table) known() (top int64, gap bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ledger.top, t.ledger.gap()
}
