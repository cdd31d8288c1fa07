package fanout

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"weever/mediad/internal/fanout/codec"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/history"
	"weever/mediad/internal/fanout/keyframe"
	"weever/mediad/internal/fanout/loudness"
)

// StreamConfig describes one layer of one track of a publisher.
type StreamConfig struct {
	Codec string // media type, "video/VP8" or "audio/opus"
	Fmtp  string // format parameters as negotiated with the publisher
	Clock uint32 // RTP clock rate in Hz

	// KeyframeWish asks the publisher for a key frame, at most twice a second. Any goroutine may call it, also one that holds a
	// viewer's lock: it must not block, nor call a stream or a viewer. May be nil.
	KeyframeWish func()

	// Writers hand the packets to the sinks; nil: whoever writes does it, before WritePackets and WriteReport return.
	Writers *Writers

	// Held makes the stream keep its sinks waiting until Release, while its history is filled from elsewhere.
	Held bool
}

// Stream is one layer of one track: its history and its sinks.
//
// Concurrency: WritePackets and WriteReport are called by one goroutine at a time. Everything else may be called by any
// goroutine at any time. mu is held while a burst is copied, never while a sink works, so that neither a
// viewer who joins nor a slow one holds up who writes. Close does not wait for calls under way.
type Stream struct {
	cfg    StreamConfig
	codec  codec.Codec
	wishes *keyframe.Wisher
	drops  drop.Counters

	mu       sync.Mutex
	ring     *history.Ring
	shards   []*shard      // of the live sinks; each stays for the stream's life
	live     int           // sinks in them
	held     []*attachment // waiting for Release
	holding  bool
	wished   bool // a key frame was asked for while holding
	closed   bool
	done     chan struct{} // closed by Close: ends replays
	report   SenderReport
	reportAt time.Time // zero: no report yet
	keys     bool      // a key frame was recognised once
	packets  uint64
	bytes    uint64
	replays  uint64
	misses   uint64
	width    int // of the pictures, as the last key frame that told said; 0: none did
	height   int
	sound    loudness.Meter
}

// NewStream returns a stream without packets or sinks.
func NewStream(cfg StreamConfig) (*Stream, error) {
	c := codec.Of(cfg.Codec)
	if c == codec.Unknown && !strings.HasPrefix(strings.ToLower(cfg.Codec), "video/") {
		return nil, fmt.Errorf("codec %q is neither audio nor video", cfg.Codec)
	}
	if cfg.Clock < 1000 || cfg.Clock > 1_000_000 {
		return nil, fmt.Errorf("clock rate of %s must be 1000 to 1000000 Hz, not %d", cfg.Codec, cfg.Clock)
	}
	return &Stream{
		cfg: cfg, codec: c, wishes: keyframe.New(cfg.KeyframeWish), ring: history.New(cfg.Clock),
		holding: cfg.Held, done: make(chan struct{}),
	}, nil
}

// Codec returns the media type.
func (s *Stream) Codec() string { return s.cfg.Codec }

// Fmtp returns the publisher's format parameters.
func (s *Stream) Fmtp() string { return s.cfg.Fmtp }

// Clock returns the RTP clock rate in Hz.
func (s *Stream) Clock() uint32 { return s.cfg.Clock }

// Video reports whether a viewer has to begin with a key frame.
func (s *Stream) Video() bool { return s.codec != codec.Audio }

// Drop counts a packet that cannot be handed to WritePackets, for a reason of a Stream's.
func (s *Stream) Drop(why drop.Reason) { s.drops.Add(why, 1) }

// WritePackets takes packets that arrived together, in order of arrival. The slice and the payloads are borrowed; the slice's
// elements are overwritten.
func (s *Stream) WritePackets(burst []Packet) {
	now := time.Now()
	granted := false
	s.mu.Lock()
	for i := range burst {
		p := &burst[i]
		p.At, p.Speed, p.Pad = now, 0, 0
		if reason, ok := s.admit(p); !ok {
			s.drops.Add(reason, 1)
			continue
		}
		granted = granted || s.ring.KeyFrame() == p.Index
	}
	s.feed()
	s.mu.Unlock()
	if granted {
		s.wishes.Granted()
	}
	s.feedInline()
}

// feed has the writers serve the sinks that have not got everything; the caller holds mu.
func (s *Stream) feed() {
	if s.cfg.Writers == nil {
		return
	}
	for _, sh := range s.shards {
		if !sh.queued && sh.due() {
			sh.queued = true
			sh.writer.push(sh)
		}
	}
}

// feedInline serves them itself, when there are no writers.
func (s *Stream) feedInline() {
	if s.cfg.Writers != nil {
		return
	}
	s.mu.Lock()
	shards := s.shards
	s.mu.Unlock()
	for _, sh := range shards {
		for sh.serve(sh.writer) {
		}
	}
}

// admit numbers p, describes it and stores it, or says why not; the caller holds mu.
func (s *Stream) admit(p *Packet) (drop.Reason, bool) {
	if s.closed {
		return drop.Closed, false
	}
	if len(p.Payload) > MaxPacket {
		return drop.Oversized, false
	}
	var ok bool
	if p.Index, ok = s.ring.Number(p.Seq); !ok {
		return drop.Late, false
	}
	if s.ring.Had(p.Index) {
		return drop.Duplicate, false
	}
	p.Desc = s.codec.Read(p.Payload)
	if p.Desc.Keyframe {
		s.keys = true
		if w, h := s.codec.Size(p.Payload); w > 0 && h > 0 {
			s.width, s.height = w, h
		}
	}
	if p.HasLevel {
		s.sound.Add(p.Level, p.At)
	}
	s.ring.Put(p)
	s.packets++
	s.bytes += uint64(len(p.Payload))
	return 0, true
}

// WriteReport takes a sender report of the publisher.
func (s *Stream) WriteReport(r SenderReport) {
	s.mu.Lock()
	s.report, s.reportAt = r, time.Now()
	for _, sh := range s.shards {
		sh.report = true
	}
	s.feed()
	s.mu.Unlock()
	s.feedInline()
}

// Report returns a sender report that holds for this moment, extrapolated from the last one written; false before the first.
func (s *Stream) Report() (SenderReport, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reportAt.IsZero() {
		return SenderReport{}, false
	}
	age := time.Since(s.reportAt)
	return SenderReport{
		NTP: s.report.NTP + uint64(age/time.Second)<<32 + uint64(age%time.Second)<<32/uint64(time.Second),
		RTP: s.report.RTP + uint32(uint64(age.Seconds()*float64(s.cfg.Clock))),
	}, true
}

// RequestKeyframe asks the publisher for a key frame, coalesced with the wishes of all other viewers: at most one goes out in 500 ms,
// one made meanwhile at the end of that time unless a key frame has begun by then. It does nothing for audio.
func (s *Stream) RequestKeyframe() {
	s.mu.Lock()
	waits := s.holding
	s.wished = s.wished || waits // for Release
	s.mu.Unlock()
	if s.Video() && !waits {
		s.wishes.Ask()
	}
}

// Level is how loud the stream is now, by what its packets say, in -dBov: 0 is loudest, 127 silence, no packets, or none that tell.
func (s *Stream) Level() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sound.Level(time.Now())
}

// HasKeyframes reports whether a key frame was ever recognised. When none is in a stream that flows, its payloads cannot be read
// (they may be encrypted end to end) and waiting for one is vain.
func (s *Stream) HasKeyframes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// Lookup fills p with the packet of this index for a retransmission. The payload is copied behind dst[:len(dst)]; the extended dst is
// returned. It reports false when the history does not hold the packet.
func (s *Stream) Lookup(index uint64, p *Packet, dst []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.Get(index, p, dst)
}

// Close ends the stream: what is written from now on is dropped, replays stop, no further wish goes out. Sinks are not told.
func (s *Stream) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		for _, sh := range s.shards {
			sh.writer.load.Add(-int32(len(sh.sinks))) //nolint:gosec // a count of viewers
		}
		close(s.done)
		s.shards, s.held, s.live = nil, nil, 0
	}
	s.mu.Unlock()
	s.wishes.Stop()
}

// StreamStats is a reading of a stream's counters since it was made.
type StreamStats struct {
	Packets, Bytes uint64 // admitted; payload bytes
	Wishes         uint64 // key frames asked for
	Replays        uint64 // sinks that began with the cached key frame
	Misses         uint64 // sinks that would have, but there was none
	Sinks          int
	Memory         int // bytes held by the history
	Width, Height  int // of the pictures, in pixels; 0: not known
	Drops          drop.Counts
}

// Stats reads the counters.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	st := StreamStats{
		Packets: s.packets, Bytes: s.bytes, Sinks: s.live + len(s.held), Memory: s.ring.Memory(), Width: s.width, Height: s.height,
		Replays: s.replays, Misses: s.misses,
	}
	s.mu.Unlock()
	st.Wishes, st.Drops = s.wishes.Sent(), s.drops.Read()
	return st
}

// without returns list without a, in a new array.
func without(list []*attachment, a *attachment) []*attachment {
	return slices.DeleteFunc(slices.Clone(list), func(x *attachment) bool { return x == a })
}
