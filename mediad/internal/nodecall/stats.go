package nodecall

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// This file counts calls by how they ended. Whoever watches over the node reads Stats.

// outcome is how a call ended.
type outcome uint8

const (
	ok          outcome = iota // answered
	refused                    // answered with a code that the handler chose
	failed                     // the handler failed, or something unforeseen did
	busy                       // too many at once
	unknownVerb                // another version
	noNode                     // nobody listens
	timeout                    // no answer in time
	noBus                      // no connection of our own

	outcomes
)

var outcomeNames = [outcomes]string{
	ok: "ok", refused: "refused", failed: "failed", busy: "busy", unknownVerb: "unknown_verb", noNode: "no_node", timeout: "timeout",
	noBus: "no_bus",
}

// outcomeOf reads what request returned, or what reply is to send.
func outcomeOf(err error) outcome {
	var remote *RemoteError
	switch {
	case err == nil:
		return ok
	case errors.As(err, &remote):
		switch remote.Code {
		case Busy:
			return busy
		case UnknownVerb:
			return unknownVerb
		case Failed:
			return failed
		}
		return refused
	case errors.Is(err, ErrNoNode):
		return noNode
	case errors.Is(err, ErrTimeout):
		return timeout
	case errors.Is(err, ErrNoBus):
		return noBus
	}
	return failed
}

type counters [outcomes]atomic.Uint64

func (c *counters) add(err error) { c[outcomeOf(err)].Add(1) }

func (c *counters) read() map[string]uint64 {
	named := make(map[string]uint64, outcomes)
	for i := range c {
		named[outcomeNames[i]] = c[i].Load()
	}
	return named
}

// Stats is a reading of how calls ended since Calls was made: by outcome, all of which are there.
type Stats struct {
	Made   map[string]uint64 // by this node, pings included
	Served map[string]uint64 // for others
	Lost   uint64            // calls of others that came faster than this node looked at them
}

// Stats reads the counters.
func (c *Calls) Stats() Stats {
	return Stats{Made: c.made.read(), Served: c.served.read(), Lost: c.lost.read()}
}

// lost counts what a subscription dropped.
type lost struct {
	mu    sync.Mutex
	sub   *nats.Subscription // nil: before Run
	count uint64
}

func (l *lost) of(sub *nats.Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sub = sub
}

func (l *lost) read() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sub != nil {
		if n, err := l.sub.Dropped(); err == nil { // else it is over
			l.count = uint64(n) //nolint:gosec // counts up
		}
	}
	return l.count
}
