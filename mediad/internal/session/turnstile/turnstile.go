// Package turnstile counts who comes in, who is refused, and how sessions end.
//
// A node's session.Service has one Count.
package turnstile

import (
	"maps"
	"sync"

	"weever/shared/room"
)

// Key is a role and a word for what became of it. The words come from a fixed list, never from a client.
type Key struct {
	Role room.Role
	Word string
}

// Count counts. The zero Count is ready; any goroutine may use it.
type Count struct {
	mu          sync.Mutex
	joins, ends map[Key]uint64
}

// Joined counts a POST by its outcome.
func (c *Count) Joined(role room.Role, outcome string) { c.add(&c.joins, Key{role, outcome}) }

// Ended counts a session that ran, by why it ended.
func (c *Count) Ended(role room.Role, reason string) { c.add(&c.ends, Key{role, reason}) }

func (c *Count) add(to *map[Key]uint64, k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *to == nil {
		*to = map[Key]uint64{}
	}
	(*to)[k]++
}

// Read returns copies of the counts; what has not happened yet is not there.
func (c *Count) Read() (joins, ends map[Key]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.joins), maps.Clone(c.ends)
}
