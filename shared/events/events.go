// Package events carries what happened, and what was said, in a room to every node, over NATS.
//
// Delivery is at most once and the order of different senders is not kept: an event says where it stands in the room's history, and
// who sees a gap asks Redis. What is lost here is delayed, never wrong.
package events

import (
	"encoding/json"
	"errors"
	"fmt"

	"weever/shared/room"
)

// This file is the text of events; it knows no NATS.

// maxEvent bounds an event's text in bytes. A record holds at most 128 KiB; servers refuse messages above 1 MiB.
const maxEvent = 256 << 10

// Kind says what happened to a publisher.
type Kind string

// The kinds. A node of a later version may send others: they are dropped, and the gap they leave is healed from Redis.
const (
	Up   Kind = "up"   // live, away or changed: Publisher is the whole record
	Left Kind = "left" // gone for good: of Publisher at least FullID and Inc are set
)

// Event is one step in the history of a room. Seq is its number and Prev the number of the step before, as the store handed them
// out; Prev is 0 at the beginning of a history.
type Event struct {
	Prev      int64          `json:"prev,omitempty"`
	Seq       int64          `json:"seq"`
	Kind      Kind           `json:"kind"`
	Publisher room.Publisher `json:"publisher"`
}

// ErrEvent is wrapped by the errors of events, and of things said, that are malformed or too large.
var ErrEvent = errors.New("event")

// encode checks ev as a receiver would, so that what is sent is also understood.
func encode(ev Event) ([]byte, error) {
	if err := ev.check(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if len(text) > maxEvent {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrEvent, len(text), maxEvent)
	}
	return text, nil
}

func decode(text []byte) (Event, error) {
	if len(text) > maxEvent {
		return Event{}, fmt.Errorf("%w: %d bytes, more than %d", ErrEvent, len(text), maxEvent)
	}
	var ev Event
	if err := json.Unmarshal(text, &ev); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if err := ev.check(); err != nil {
		return Event{}, err
	}
	return ev, nil
}

func (ev Event) check() error {
	p := ev.Publisher
	switch {
	case ev.Prev < 0 || ev.Seq <= ev.Prev:
		return fmt.Errorf("%w: step from %d to %d", ErrEvent, ev.Prev, ev.Seq)
	case p.FullID.IsZero() || p.Inc <= 0:
		return fmt.Errorf("%w: no full_id or inc", ErrEvent)
	case ev.Kind == Left:
		return nil
	case ev.Kind != Up:
		return fmt.Errorf("%w: unknown kind", ErrEvent)
	case p.Session == "" || p.Owner.Instance == "":
		return fmt.Errorf("%w: no session or owner", ErrEvent)
	case p.State != room.Live && p.State != room.Away:
		return fmt.Errorf("%w: unknown state", ErrEvent)
	}
	return nil
}
