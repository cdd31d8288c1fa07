package place

import (
	"math"
	"time"

	"weever/mediad/internal/reaper"
)

// This file tells whoever watches over the node how its place is.

// Age is how long ago Redis last confirmed the lease; false before the first time.
func (p *Place) Age() (age time.Duration, held bool) {
	k := p.keeper.Load()
	if k == nil {
		return 0, false
	}
	age = k.Age()
	return age, age < math.MaxInt64
}

// Reaper reads what the reaper has seen and done.
func (p *Place) Reaper() reaper.Stats { return p.reaper.Stats() }
