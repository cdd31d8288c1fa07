package player

import (
	"context"
	"maps"
	"strings"
	"time"

	"weever/mediad/internal/poll"
	"weever/mediad/internal/relay"
	"weever/shared/room"
)

// lookPeriod is the time between two looks at the same thing, however many players want it.
const lookPeriod = 3 * time.Second

// A bit rate that changes by less than a fifth is as it was: else each look would be news.
const steadiness = 5

// Sources are where a node's players learn from. Each thing is looked up once for all of them, while one wants it.
type Sources struct {
	viewers *poll.Poll[room.Name, int]
	meters  *poll.Poll[meterKey, readings]
}

// meterKey is a track, its layers and who publishes it.
type meterKey struct {
	relay.Key
	owner room.Owner
	rids  string // separated by commas
}

// readings are the last of each layer, by rid. They are never changed.
type readings map[string]reading

// reading is what was last measured of a layer.
type reading struct {
	relay.Meter
	at      time.Time
	bitrate int // bits a second; 0: nothing came, or it was measured but once
}

// meter reads a stream wherever it is published.
type meter func(context.Context, relay.Key, room.Owner) (relay.Meter, error)

// NewSources makes Sources that look until ctx ends. count gives the number of a room's viewers, meter reads a stream wherever it is
// published; both may wait for as long as their context lets them.
func NewSources(ctx context.Context, count func(context.Context, room.Name) (int, error), meter meter) *Sources {
	return &Sources{
		viewers: poll.New(ctx, lookPeriod, func(ctx context.Context, rm room.Name, _ int) (int, error) { return count(ctx, rm) }),
		meters:  poll.New(ctx, lookPeriod, meter.read),
	}
}

// Rates are what a track's layers take, looked up for whoever else chooses among layers.
type Rates struct {
	watch *poll.Watch[meterKey, readings]
}

// Rates looks up those of t until Stop. After each look changed gets a value, if it has room for one; it should have room for one, and
// may serve several tracks.
func (s *Sources) Rates(t Track, changed chan<- struct{}) *Rates {
	return &Rates{s.meters.Watch(t.measure(), changed)}
}

// Of is what a layer takes, in bit/s of payload; 0: nothing came, or it is not known yet. It does not wait.
func (r *Rates) Of(rid string) int {
	latest, _ := r.watch.Latest()
	return latest[rid].bitrate
}

// Stop ends the looking; calling it again does nothing. changed may still get a value that was on its way.
func (r *Rates) Stop() { r.watch.Stop() }

// Wait returns when nothing is looked up any more; all players must have been closed, and all Rates stopped.
func (s *Sources) Wait() {
	s.viewers.Wait()
	s.meters.Wait()
}

// read measures all layers of a track. One that cannot be read is as it was; the error is that of the last, when none can.
func (m meter) read(ctx context.Context, key meterKey, last readings) (readings, error) {
	var failed error
	now, some := maps.Clone(last), false
	if now == nil {
		now = readings{}
	}
	for rid := range strings.SplitSeq(key.rids, ",") {
		layer := key.Key
		layer.Layer = rid
		r, err := m(ctx, layer, key.owner)
		if err != nil {
			failed = err
			continue
		}
		now[rid], some = last[rid].next(r, time.Now()), true
	}
	if some {
		return now, nil
	}
	return nil, failed
}

// next is the reading after r. A counter that went back belongs to a stream that began anew.
func (r reading) next(m relay.Meter, now time.Time) reading {
	n := reading{Meter: m, at: now}
	took := now.Sub(r.at).Seconds()
	if r.at.IsZero() || m.Bytes < r.Bytes || took <= 0 {
		return n
	}
	const unit = 1000 // nobody needs it finer
	n.bitrate = int(float64(m.Bytes-r.Bytes)*8/took/unit) * unit
	if m.Bytes > r.Bytes {
		n.bitrate = max(n.bitrate, unit)
	}
	if d := n.bitrate - r.bitrate; n.bitrate > 0 && max(d, -d) <= r.bitrate/steadiness {
		n.bitrate = r.bitrate
	}
	return n
}
