package life

import (
	"time"

	"weever/mediad/internal/control"
)

// This file is how a client is asked to go on at another node. The Service asks; the session, which alone writes to its control channel,
// passes it on.

// reasonDrain is the reason of RECONNECT.
const reasonDrain = "drain"

// Leave asks the client to be gone by then. It is told when its control channel is open; one without is not told here. It never blocks.
func (l *Life) Leave(by time.Time) {
	l.leaveBy.Store(&by)
	select {
	case l.asked <- struct{}{}:
	default:
	}
}

// Stay takes Leave back. A client that was told already may go all the same.
func (l *Life) Stay() { l.leaveBy.Store(nil) }

// Asked gets a value when there is something to PassOn.
func (l *Life) Asked() <-chan struct{} { return l.asked }

// PassOn tells the client what Leave asks for, if anything; c is nil while its control channel is not open. Call it when that opens and
// whenever Asked says so. A client that cannot be told has gone: its session ends.
func (l *Life) PassOn(c *Channel) {
	by := l.leaveBy.Load()
	if c == nil || by == nil {
		return
	}
	left := min(max(time.Until(*by), 0), control.MaxReconnect*time.Second)
	if err := c.Send(control.Reconnect{Reason: reasonDrain, Seconds: int(left / time.Second)}); err != nil {
		l.End(err)
	}
}
