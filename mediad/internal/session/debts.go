package session

import (
	"context"
	"sync"

	"weever/mediad/internal/session/life"
)

// debts are the removals that Redis could not be told of when a session ended. Their number is bounded by that of the sessions that
// end during an outage. Sessions owe, the Service's Run pays.
type debts struct {
	mu   sync.Mutex // guards open
	open []life.Debt
}

// owe notes a debt.
func (d *debts) owe(debt life.Debt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, debt)
}

// pay pays debts until one cannot be paid, which is then the last in turn: it may be the only one that Redis does not take. Only one
// goroutine may call it.
func (d *debts) pay(ctx context.Context) {
	for ctx.Err() == nil {
		d.mu.Lock()
		if len(d.open) == 0 {
			d.mu.Unlock()
			return
		}
		debt := d.open[0]
		d.mu.Unlock()
		op, cancel := context.WithTimeout(ctx, life.StoreTimeout)
		err := debt(op)
		cancel()
		d.mu.Lock()
		d.open = d.open[1:] // only pay takes from it
		if err != nil {
			d.open = append(d.open, debt)
		}
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
}
