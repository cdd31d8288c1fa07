package health

import "time"

// This file believes a backend's answers only when they repeat themselves: a hiccup changes nothing. The Monitor owns each belief and
// guards it.

// belief is what is believed of a backend. The zero value knows nothing.
type belief struct {
	status string    // up or down; empty: not known yet
	since  time.Time // when it became so
	err    error     // why it is away, as far as it said; for the log
	seen   bool      // it has been up

	contrary int       // answers in a row that say otherwise
	first    time.Time // of those
}

const (
	up      = "up"
	down    = "down"
	unknown = "unknown"
)

// saw takes in an answer. The first good one ever is believed at once.
func (b *belief) saw(err error, now time.Time) {
	is := up
	if err != nil {
		is, b.err = down, err
	}
	if is == b.status {
		b.contrary = 0
		return
	}
	if b.contrary++; b.contrary == 1 {
		b.first = now
	}
	if b.contrary >= firmly || is == up && !b.seen {
		b.status, b.since, b.contrary = is, b.first, 0
		b.seen = b.seen || is == up
	}
}

func (b *belief) component() Component {
	if b.status == "" {
		return Component{Status: unknown}
	}
	return Component{Status: b.status, Since: b.since.UTC().Truncate(time.Millisecond)}
}
