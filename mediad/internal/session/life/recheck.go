package life

import "context"

// This file is how a session is made to compare itself with Redis. The Service asks; the session, which alone knows its state, answers.

// Recheck has the session compare its claims with Redis. It is nil when it has, or when it is over instead, and waits until then or
// until ctx ends.
func (l *Life) Recheck(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case l.rechecks <- done:
	case <-l.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-l.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Over says that the session's Run has returned: it answers nothing any more. Call it once.
func (l *Life) Over() { close(l.over) }

// Rechecks delivers what Recheck asks for. Each value takes one answer, without waiting.
func (l *Life) Rechecks() <-chan chan<- error { return l.rechecks }
