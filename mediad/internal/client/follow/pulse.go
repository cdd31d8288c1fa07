package follow

import (
	"context"
	"errors"
	"strconv"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/control"
)

// This file notices that a node is there no more, long before ICE does.

// errSilent is what such a session ends with.
var errSilent = errors.New("the node answers no PING")

const pulseEvery = time.Second // from a PONG to the next PING

// pulse sends PINGs until ctx ends. When nobody has answered one for so long, it ends the session.
func pulse(ctx context.Context, s *client.Session, silence time.Duration) {
	for n := 0; ; n++ {
		ping := "pulse " + strconv.Itoa(n)
		if s.Send(control.Ping{Text: ping}) != nil {
			return // it is over, or has no control channel
		}
		answer, cancel := context.WithTimeout(ctx, silence)
		_, err := s.Await(answer, func(m control.Message) bool { return m == control.Pong{Text: ping} })
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				s.Fail(errSilent)
			}
			return
		}
		select {
		case <-time.After(pulseEvery):
		case <-ctx.Done():
			return
		}
	}
}
