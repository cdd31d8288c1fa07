// Package talk carries what a subscriber says to the other subscribers of the room: those of this node at once, those of other nodes
// over the bus.
//
//	SAY ─ Seat.Say ─┬→ the other Seats of the room on this node ─ Heard → SAID
//	                └→ Hub.Run ─ NATS ─ Hub.Run of another node → all its Seats of the room
//
// A viewer's session takes a Seat, and leaves it at its end. main makes the Hub and runs it. Nobody waits for anybody: a viewer that is
// slow, and a bus that is away, miss messages, which are counted by reason and never come again.
package talk

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/time/rate"

	"weever/mediad/internal/control"
	"weever/shared/events"
	"weever/shared/room"
)

const (
	queued    = 64  // messages that wait for one viewer's session
	queuedBus = 256 // messages that wait for the bus: 4 MiB at most
)

// Config says what a Hub works with; all of it is required.
type Config struct {
	Bus      *events.Bus
	Instance string // this process, whose own messages come back over the bus
	Log      *slog.Logger
}

// Hub joins the Seats of a node. It is safe for concurrent use.
type Hub struct {
	cfg   Config
	drops counters
	out   chan outgoing // for other nodes, in the order in which it was said
	wake  chan struct{} // holds at most one value: look at changed

	mu      sync.Mutex
	rooms   map[room.Name]map[*Seat]struct{} // none of them empty
	changed map[room.Name]struct{}           // those that got their first Seat, or lost the last, since Run looked
}

type outgoing struct {
	room room.Name
	said events.Said
}

// New makes a Hub without Seats. Until Run runs, it reaches this node alone.
func New(cfg Config) *Hub {
	return &Hub{
		cfg: cfg, out: make(chan outgoing, queuedBus), wake: make(chan struct{}, 1),
		rooms: map[room.Name]map[*Seat]struct{}{}, changed: map[room.Name]struct{}{},
	}
}

// Run is all that touches the bus: it listens to each room that has a Seat, and sends what is said here, until ctx ends; the result is
// that of ctx.
func (h *Hub) Run(ctx context.Context) error {
	listening := map[room.Name]func(){}
	defer func() {
		for _, stop := range listening {
			stop()
		}
	}()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-h.wake:
			h.follow(listening)
		case o := <-h.out:
			if err := h.cfg.Bus.PublishSaid(o.room, o.said); err != nil {
				h.drops.add(BusAway)
			}
		}
	}
	return ctx.Err()
}

// follow brings the subscriptions in step with the rooms.
func (h *Hub) follow(listening map[room.Name]func()) {
	h.mu.Lock()
	changed := h.changed
	h.changed = map[room.Name]struct{}{}
	wanted := map[room.Name]bool{}
	for rm := range changed {
		wanted[rm] = h.rooms[rm] != nil
	}
	h.mu.Unlock()
	for rm, want := range wanted {
		stop := listening[rm]
		switch {
		case want && stop == nil:
			stop, err := h.cfg.Bus.SubscribeSaid(rm, func(s events.Said) { h.hear(rm, s) })
			if err != nil { // the connection is closed: the node ends
				h.cfg.Log.Warn("cannot listen to what is said on other nodes", "room", rm.String(), "err", err)
				continue
			}
			listening[rm] = stop
		case !want && stop != nil:
			stop()
			delete(listening, rm)
		}
	}
}

// hear takes what came over the bus; our own was delivered when it was said.
func (h *Hub) hear(rm room.Name, s events.Said) {
	if s.Instance == h.cfg.Instance {
		return
	}
	m, err := control.Prepare(control.Said{From: s.From, JSON: s.JSON})
	if err != nil {
		h.cfg.Log.Error("what another node sent cannot be told", "room", rm.String(), "err", err) // the bus has checked it
		return
	}
	h.deliver(rm, nil, m)
}

// deliver puts m into the queues of all Seats of the room but one.
func (h *Hub) deliver(rm room.Name, but *Seat, m control.Prepared) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.rooms[rm] {
		if s == but {
			continue
		}
		select {
		case s.queue <- m:
		default:
			h.drops.add(ViewerQueue)
		}
	}
}

// send queues what was said here for the other nodes.
func (h *Hub) send(rm room.Name, said events.Said) {
	select {
	case h.out <- outgoing{rm, said}:
	default:
		h.drops.add(BusQueue)
	}
}

// Join takes a Seat in the room for one session of full; mayTalk: it has the right to say. The caller gives it back with Leave.
func (h *Hub) Join(rm room.Name, full room.FullID, mayTalk bool) *Seat {
	s := &Seat{
		hub: h, room: rm, full: full, mayTalk: mayTalk,
		pace: rate.NewLimiter(perSecond, burst), queue: make(chan control.Prepared, queued),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rooms[rm] == nil {
		h.rooms[rm] = map[*Seat]struct{}{}
		h.changeLocked(rm)
	}
	h.rooms[rm][s] = struct{}{}
	return s
}

func (h *Hub) leave(s *Seat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seats := h.rooms[s.room]
	if _, sits := seats[s]; !sits {
		return
	}
	if delete(seats, s); len(seats) == 0 {
		delete(h.rooms, s.room)
		h.changeLocked(s.room)
	}
}

// changeLocked asks Run to look at a room; the caller holds mu.
func (h *Hub) changeLocked(rm room.Name) {
	h.changed[rm] = struct{}{}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}
