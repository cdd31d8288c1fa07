// Package synth makes RTP packets that look like a camera's and a microphone's.
//
// No picture is in them: the codec headers are right, so that a server finds frames and key frames, and the rest is filling with
// a Stamp at its end, by which a receiver measures latency and loss. A publisher runs one Source for each stream it sends; a
// Source starts nothing of its own and stops when the context of Run ends.
package synth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client/recording"
)

// Model says how packets follow each other.
type Model string

// The models of traffic.
const (
	Burst   Model = "burst"   // video: equal in size and a frame's all at once, as a hardware encoder without a pacer sends them; audio likewise
	Browser Model = "browser" // as a browser sent them once: see recording.Chromium
)

// What is usual.
const (
	usualFPS     = 30
	usualAudio   = 50 // packets a second
	usualPackets = 6
)

// fine is the least that is worth waiting for inside a frame, in which most packets follow each other within 0.1 ms: timers are not that
// fine, and sending takes as long.
const fine = time.Millisecond

// Config describes a Source. Zero values stand for the defaults.
type Config struct {
	Codec    Codec         // required
	Model    Model         // Burst
	FPS      int           // frames a second of video, packets a second of audio, 1 to 120: 30, and 50. Browser: in proportion
	Packets  int           // packets of a frame, 1 to 64: 6; 1 for audio. Browser: in proportion
	Size     int           // payload bytes of a packet, 60 to 1400: 1200; 120 for audio. Browser: of no effect
	Shrink   int           // 0 to 4: how often the size is halved that key frames of VP8 and VP9 claim, 640 × 480
	KeyEvery time.Duration // a key frame this often; 0: only the first frame and on request
}

// Source makes the packets of one stream.
type Source struct {
	cfg    Config // fixed after New
	score  score  // fixed
	stream uint32 // fixed
	base   uint32 // RTP timestamp of frame 0; fixed

	wantKey atomic.Bool
	muted   atomic.Bool

	// Owned by Run.
	frame   uint64        // number of the next frame by the clock, silence included
	picture uint16        // number of the next frame that is sent
	lastKey time.Duration // when the last key frame was due
	seq     uint16
	count   uint32
	parts   []part       // of the frame that Next made last
	packets []rtp.Packet // payloads are reused for each frame
	filling [][]byte     // what the payloads are cut from
}

// New makes a Source that will begin with a key frame.
func New(cfg Config) (*Source, error) {
	audio := cfg.Codec == Opus
	fill(&cfg.FPS, map[bool]int{true: usualAudio, false: usualFPS}[audio])
	fill(&cfg.Packets, map[bool]int{true: 1, false: usualPackets}[audio])
	fill(&cfg.Size, map[bool]int{true: 120, false: 1200}[audio])
	if cfg.Model == "" {
		cfg.Model = Burst
	}
	var errs []error
	switch cfg.Codec {
	case VP8, VP9, H264, AV1, Opus:
	default:
		errs = append(errs, fmt.Errorf("codec %q: must be %s, %s, %s, %s or %s", cfg.Codec, VP8, VP9, H264, AV1, Opus))
	}
	if cfg.Model != Burst && cfg.Model != Browser {
		errs = append(errs, fmt.Errorf("traffic model %q: must be %s or %s", cfg.Model, Burst, Browser))
	}
	for _, v := range []struct {
		what             string
		value, low, high int
	}{
		{"frames per second", cfg.FPS, 1, 120},
		{"packets per frame", cfg.Packets, 1, 64},
		{"payload size", cfg.Size, overhead + stampSize, 1400},
		{"shrink", cfg.Shrink, 0, 4},
	} {
		if v.value < v.low || v.value > v.high {
			errs = append(errs, fmt.Errorf("%s %d: must be %d to %d", v.what, v.value, v.low, v.high))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s := &Source{
		cfg:     cfg,
		stream:  rand.Uint32(),
		base:    rand.Uint32(),
		picture: uint16(rand.Uint32()) & 0x7fff,
		seq:     uint16(rand.Uint32()),
	}
	var err error
	if s.score, err = cfg.score(); err != nil {
		return nil, err
	}
	packets, size := s.score.most()
	s.packets = make([]rtp.Packet, packets)
	for range packets {
		payload := make([]byte, max(size, overhead+stampSize))
		for j := range payload {
			payload[j] = byte(rand.Uint32()) | 1 // no run of zeros that would be a start code
		}
		s.filling = append(s.filling, payload)
	}
	s.wantKey.Store(true)
	return s, nil
}

func (cfg Config) score() (score, error) {
	if cfg.Model != Browser {
		return newRuled(cfg), nil
	}
	chromium, err := recording.Chromium()
	if err != nil {
		return nil, err
	}
	if cfg.Codec == Opus {
		return newPlayed(cfg, chromium.Audio), nil
	}
	return newPlayed(cfg, chromium.Video), nil
}

func fill(v *int, otherwise int) {
	if *v == 0 {
		*v = otherwise
	}
}

// Stream is the number in the stamps of this source's packets.
func (s *Source) Stream() uint32 { return s.stream }

// RequestKey makes the next frame a key frame, as an encoder does for a PLI. Any goroutine may call it.
func (s *Source) RequestKey() { s.wantKey.Store(true) }

// Mute stops the packets, or lets them flow again from the next frame on, which is a key frame then; the clock runs on. Any
// goroutine may call it.
func (s *Source) Mute(on bool) {
	if s.muted.Swap(on) && !on {
		s.wantKey.Store(true)
	}
}

// Run hands packets to write, in real time, until ctx ends (it returns nil) or write fails (it returns that error). SSRC and
// payload type are left to write. A packet and its payload are borrowed: they are reused after write has returned.
func (s *Source) Run(ctx context.Context, write func(*rtp.Packet) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	begin := time.Now()
	wait := func(until time.Time) bool {
		timer.Reset(time.Until(until))
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		}
	}
	for {
		next := begin.Add(s.score.picture(s.frame).at)
		// A machine that slept or is overloaded does not send everything it owes: that would be a flood.
		if time.Since(next) > time.Second {
			for time.Since(next) > 0 {
				s.frame++
				next = begin.Add(s.score.picture(s.frame).at)
			}
		}
		if !wait(next) {
			return nil
		}
		if s.muted.Load() {
			s.frame++
			continue
		}
		frame := s.Next()
		for i := range frame {
			if i > 0 && s.parts[i].after-s.parts[i-1].after >= fine && !wait(next.Add(s.parts[i].after)) {
				return nil
			}
			s.stamp(&frame[i])
			if err := write(&frame[i]); err != nil {
				return err
			}
		}
	}
}

// Next makes the packets of the next frame; they are unstamped, and the next call overwrites them. Run calls it; a test may do so
// instead, but not beside Run.
func (s *Source) Next() []rtp.Packet {
	pic := s.score.picture(s.frame)
	key := s.cfg.Codec != Opus && s.wantKey.Swap(false)
	if every := s.cfg.KeyEvery; every > 0 && pic.at-s.lastKey >= every {
		key = s.cfg.Codec != Opus
	}
	s.parts = pic.parts
	if key {
		s.lastKey = pic.at
		if parts := s.score.keyFrame(); parts != nil {
			s.parts = parts
		}
	}
	frame := s.packets[:len(s.parts)]
	for i := range frame {
		p := &frame[i]
		p.Header = rtp.Header{
			Version:        2,
			Marker:         s.cfg.Codec != Opus && i == len(frame)-1,
			SequenceNumber: s.seq,
			Timestamp:      s.base + uint32(pic.ticks), //nolint:gosec // wraps, as RTP timestamps do
		}
		p.Payload = s.filling[i][:max(s.parts[i].size, s.least())]
		writeHeaders(s.cfg.Codec, p.Payload, place{key: key, picture: s.picture & 0x7fff, i: i, n: len(frame), shrink: s.cfg.Shrink})
		s.seq++
	}
	s.picture++
	s.frame++
	return frame
}

// least is the smallest payload that has room for headers and stamp.
func (s *Source) least() int {
	if s.cfg.Codec == Opus {
		return 1 + stampSize
	}
	return overhead + stampSize
}

func (s *Source) stamp(p *rtp.Packet) {
	Stamp{Stream: s.stream, Count: s.count, Sent: time.Now()}.write(p.Payload)
	s.count++
}
