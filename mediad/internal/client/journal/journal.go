// Package journal remembers what a node has said on a control channel.
package journal

import (
	"context"
	"fmt"
	"sync"

	"weever/mediad/internal/control"
)

// Bounds, in messages.
const (
	MaxList   = 4096 // what is remembered; at this length the older half goes
	MaxEvents = 256  // what waits for whoever listens
)

// Journal is written by the control channel's reader and read by anybody.
type Journal struct {
	events chan control.Message // for whoever listens; what finds it full is dropped

	mu      sync.Mutex
	list    []control.Message // oldest first
	bad     []string          // what could not be parsed, and why
	changed chan struct{}     // closed and replaced at each addition
}

// New makes an empty Journal.
func New() *Journal {
	return &Journal{events: make(chan control.Message, MaxEvents), changed: make(chan struct{})}
}

// Add appends m. Session descriptions are left out of it: they are long, and the PeerConnection has the newest.
func (j *Journal) Add(m control.Message) {
	switch m.(type) {
	case control.SDPOffer:
		m = control.SDPOffer{}
	case control.SDPAnswer:
		m = control.SDPAnswer{}
	}
	select {
	case j.events <- m:
	default:
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.list) == MaxList {
		j.list = append(j.list[:0], j.list[MaxList/2:]...)
	}
	j.list = append(j.list, m)
	j.wake()
}

// Fault notes a message that broke the rules of the channel.
func (j *Journal) Fault(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.bad) < MaxList {
		j.bad = append(j.bad, err.Error())
	}
	j.wake()
}

// wake is called with mu held.
func (j *Journal) wake() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// Events gives the messages one by one. Messages that find the channel full are dropped from it. It is never closed.
func (j *Journal) Events() <-chan control.Message { return j.events }

// List returns what is remembered, oldest first.
func (j *Journal) List() []control.Message {
	list, _ := j.snapshot()
	return list
}

func (j *Journal) snapshot() (list []control.Message, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]control.Message(nil), j.list...), j.changed
}

// Faults lists the messages that broke the rules, as errors, oldest first.
func (j *Journal) Faults() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.bad...)
}

// Await returns the first message from position from on that match accepts, waiting for it if need be, and the position after it.
func (j *Journal) Await(ctx context.Context, from int, match func(control.Message) bool) (control.Message, int, error) {
	for {
		list, changed := j.snapshot()
		for ; from < len(list); from++ {
			if match(list[from]) {
				return list[from], from + 1, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, from, fmt.Errorf("no such message among the %d received: %w", len(list), context.Cause(ctx))
		}
	}
}
