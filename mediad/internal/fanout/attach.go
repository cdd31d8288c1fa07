package fanout

import (
	"time"

	"weever/mediad/internal/fanout/history"
	"weever/mediad/internal/fanout/padding"
	"weever/mediad/internal/udpio"
)

// Joining a stream: at once from the cached key frame, or live.
//
// A replay runs in a goroutine of its own, from the history and faster than the packets were sent: history.Replay says what is due when.
// It ends when it has caught up with the writer; under the lock under which packets are stored it then puts its sink among the live
// ones, so that the sink misses nothing and gets nothing twice. The writer never waits for it. The viewer's timestamps are compressed
// likewise (see Packet.Speed), for a receiver that would otherwise be told that four seconds of pictures are due in half a second keeps
// them back.

const replayBurst = 32 // packets copied under the lock at a time

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
		if from, ok := s.ring.Cached(); ok {
			s.replays++
			go s.replay(a, s.ring.Replay(from))
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
		sh.next = s.ring.Arrived()
	}
	a.shard, a.from = sh, s.ring.Arrived()
	sh.sinks = append(sh.sinks[:len(sh.sinks):len(sh.sinks)], a)
	sh.writer.load.Add(1)
	s.live++
}

// shard returns the one that the next sink joins: one is filled before the next is begun, as long as there are writers.
func (s *Stream) shard() *shard {
	var best *shard
	for _, sh := range s.shards {
		if len(sh.sinks) < shardSinks {
			return sh
		}
		if best == nil || len(sh.sinks) < len(best.sinks) {
			best = sh
		}
	}
	if best == nil || len(s.shards) < s.cfg.Writers.size() {
		best = &shard{stream: s, writer: s.cfg.Writers.pick(s.shards)}
		s.shards = append(s.shards, best)
	}
	return best
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

// replay feeds a from the history until it has caught up, is detached or the stream ends.
func (s *Stream) replay(a *attachment, plan history.Replay) {
	s.mu.Lock()
	stop := a.stop
	s.mu.Unlock()
	if stop == nil {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	burst := make([]Packet, 0, replayBurst)
	buf := make([]byte, 0, replayBurst*MaxPacket)
	for {
		select {
		case <-stop:
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
			padding.Equalise(burst)
			s.cfg.Writers.alone(func(out *udpio.Batch) { a.sink.WritePackets(out, burst) })
		}
		timer.Reset(wait)
	}
}

// collect copies the packets that are due. At the end of the history it makes a a live sink instead and reports true.
func (s *Stream) collect(a *attachment, plan *history.Replay, burst []Packet, buf []byte) (_ []Packet, wait time.Duration, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	burst, wait, live = plan.Next(burst, buf)
	if live && a.stop != nil && !s.closed {
		s.enlist(a)
	}
	return burst, wait, live
}

// A Cursor marks a place in a stream's history for ReadCached. The zero Cursor is before the last key frame.
type Cursor uint64

// ReadCached fills burst (up to its capacity) with packets from the history, copies their payloads behind buf[:0] and returns
// both with the place to go on from: what another node needs so that its viewers can start at once. From the zero Cursor it
// begins with the cached key frame, and yields nothing if there is none or the stream is audio.
func (s *Stream) ReadCached(from Cursor, burst []Packet, buf []byte) ([]Packet, []byte, Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	burst, buf, next := s.ring.ReadCached(uint64(from), burst[:0], buf[:0])
	return burst, buf, Cursor(next)
}
