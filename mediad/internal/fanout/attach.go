package fanout

import (
	"time"

	"weever/mediad/internal/udpio"
)

// Joining a stream: at once from the cached key frame, or live.
//
// A replay runs in a goroutine of its own, from the history and at replaySpeed times the speed at which the packets were sent, so
// that it takes at most a seventh of the four seconds that are cached. It ends when it has caught up with the writer; under
// the lock under which packets are stored it then puts its sink among the live ones, so that the sink misses nothing and
// gets nothing twice. The writer never waits for it. The viewer's timestamps are compressed likewise (see Packet.Speed), for a
// receiver that would otherwise be told that four seconds of pictures are due in half a second keeps them back.
const (
	replaySpeed = 8
	replayTick  = 5 * time.Millisecond // packets due within one tick go out together
	replayBurst = 32                   // packets copied under the lock at a time
)

// attachment is one sink on one stream.
type attachment struct {
	sink   Sink
	cached bool          // wants a replay
	stop   chan struct{} // closed by detach; nil when it cannot be replaying
	shard  *shard        // nil: not live
	from   uint64        // the first arrival that a live one gets
}

// Attach adds a sink that begins, if the history holds it, with the last key frame and all that followed, else with whatever comes,
// and then asks for a key frame (through StreamConfig.KeyframeWish). It does not block. detach removes the sink; calling it again does nothing.
func (s *Stream) Attach(sink Sink) (detach func()) {
	return s.attach(&attachment{sink: sink, cached: s.Video(), stop: make(chan struct{})})
}

// AttachLive adds a sink that gets what arrives from now on. It asks for no key frame.
func (s *Stream) AttachLive(sink Sink) (detach func()) {
	return s.attach(&attachment{sink: sink, stop: make(chan struct{})})
}

func (s *Stream) attach(a *attachment) (detach func()) {
	s.mu.Lock()
	wish := s.join(a)
	s.mu.Unlock()
	if wish {
		s.wishes.Ask()
	}
	return func() { s.detach(a) }
}

// join puts a where it belongs and reports whether it needs a key frame from the publisher; the caller holds mu.
func (s *Stream) join(a *attachment) (wish bool) {
	switch {
	case s.closed:
		return false
	case s.holding:
		s.held = append(s.held, a)
		return false
	}
	if a.cached {
		if from, ok := s.ring.cached(); ok {
			s.replays++
			go s.replay(a, s.schedule(from))
			return false
		}
		s.misses++
	}
	s.enlist(a)
	return a.cached
}

// enlist makes a a live sink; the caller holds mu.
func (s *Stream) enlist(a *attachment) {
	sh := s.shard()
	if len(sh.sinks) == 0 {
		sh.next = s.ring.arrived
	}
	a.shard, a.from = sh, s.ring.arrived
	sh.sinks = append(sh.sinks[:len(sh.sinks):len(sh.sinks)], a)
	sh.writer.load.Add(1)
	s.live++
}

// shard returns the one that the next sink joins: one is filled before the next is begun, as long as there are writers.
func (s *Stream) shard() *shard {
	best := -1
	for i, sh := range s.shards {
		if len(sh.sinks) < shardSinks {
			return sh
		}
		if best < 0 || len(sh.sinks) < len(s.shards[best].sinks) {
			best = i
		}
	}
	if s.cfg.Writers == nil && best < 0 {
		s.shards = append(s.shards, &shard{stream: s, writer: newWriter()})
	} else if s.cfg.Writers != nil && len(s.shards) < len(s.cfg.Writers.list) {
		s.shards = append(s.shards, &shard{stream: s, writer: s.cfg.Writers.pick(s.shards)})
	} else {
		return s.shards[best]
	}
	return s.shards[len(s.shards)-1]
}

func (s *Stream) detach(a *attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.stop == nil {
		return
	}
	close(a.stop)
	a.stop = nil
	s.held = without(s.held, a)
	if a.shard != nil && !s.closed {
		a.shard.sinks = without(a.shard.sinks, a)
		a.shard.writer.load.Add(-1)
		s.live--
	}
	a.shard = nil
}

// Release ends the state that StreamConfig.Held began: the sinks that were kept waiting join now.
func (s *Stream) Release() {
	s.mu.Lock()
	held, wish := s.held, s.wished
	s.held, s.holding = nil, false
	for _, a := range held {
		wish = s.join(a) || wish
	}
	s.mu.Unlock()
	if wish {
		s.wishes.Ask()
	}
}

// replayPlan is when what is replayed.
type replayPlan struct {
	next  uint64 // index of the next packet
	began time.Time
	first uint32 // timestamp of the key frame
	pivot uint32 // timestamp at which a replay of replaySpeed that began now meets a live edge of speed 1
	clock uint64
	stop  <-chan struct{}
}

// schedule plans a replay; the caller holds mu.
func (s *Stream) schedule(from uint64) replayPlan {
	first, live := s.ring.slot(from).timestamp, s.ring.slot(s.ring.newest).timestamp
	span := max(int32(live-first), 0)
	return replayPlan{
		next: from, began: time.Now(), first: first, pivot: live + uint32(span/(replaySpeed-1)), clock: uint64(s.cfg.Clock),
	}
}

// due returns how long from now until the packet with this timestamp is to be sent.
func (p *replayPlan) due(timestamp uint32) time.Duration {
	ticks := min(uint64(max(int32(timestamp-p.first), 0)), 2*replaySeconds*p.clock) // a wild timestamp must not stop the replay
	return time.Until(p.began.Add(time.Duration(ticks * uint64(time.Second) / p.clock / replaySpeed)))
}

// replay feeds a from the history until it has caught up, is detached or the stream ends.
func (s *Stream) replay(a *attachment, plan replayPlan) {
	s.mu.Lock()
	plan.stop = a.stop
	s.mu.Unlock()
	if plan.stop == nil {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	burst := make([]Packet, 0, replayBurst)
	buf := make([]byte, 0, replayBurst*MaxPacket)
	for {
		select {
		case <-plan.stop:
			return
		case <-s.done:
			return
		case <-timer.C:
		}
		var wait time.Duration
		var live bool
		if burst, wait, live = s.collect(a, &plan, burst[:0], buf[:0]); live {
			return
		}
		if len(burst) > 0 {
			equalise(burst)
			s.cfg.Writers.alone(func(out *udpio.Batch) { a.sink.WritePackets(out, burst) })
		}
		timer.Reset(wait)
	}
}

// collect copies the packets that are due. At the end of the history it makes a a live sink instead and reports true.
func (s *Stream) collect(a *attachment, plan *replayPlan, burst []Packet, buf []byte) (_ []Packet, wait time.Duration, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(burst) < cap(burst) {
		if plan.next > s.ring.newest {
			if len(burst) > 0 {
				return burst, 0, false // come back to join when these are out
			}
			if a.stop != nil && !s.closed {
				s.enlist(a)
			}
			return nil, 0, true
		}
		if s.ring.holds(plan.next) {
			if wait = plan.due(s.ring.slot(plan.next).timestamp); wait > replayTick {
				return burst, wait, false
			}
			var p Packet
			buf, _ = s.ring.get(plan.next, &p, buf)
			p.At, p.Speed, p.Pivot = now, replaySpeed, plan.pivot
			burst = append(burst, p)
		}
		plan.next++
	}
	return burst, 0, false
}

// A Cursor marks a place in a stream's history for ReadCached. The zero Cursor is before the last key frame.
type Cursor uint64

// ReadCached fills burst (up to its capacity) with packets from the history, copies their payloads behind buf[:0] and returns
// both with the place to go on from: what another node needs so that its viewers can start at once. From the zero Cursor it
// begins with the cached key frame, and yields nothing if there is none or the stream is audio.
func (s *Stream) ReadCached(from Cursor, burst []Packet, buf []byte) ([]Packet, []byte, Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	burst, buf = burst[:0], buf[:0]
	next := uint64(from)
	if next == 0 {
		var ok bool
		if next, ok = s.ring.cached(); !ok {
			return burst, buf, 0
		}
	}
	next = max(next, s.ring.oldest)
	for ; next <= s.ring.newest && len(burst) < cap(burst); next++ {
		if s.ring.holds(next) {
			var p Packet
			buf, _ = s.ring.get(next, &p, buf)
			burst = append(burst, p)
		}
	}
	return burst, buf, Cursor(next)
}
