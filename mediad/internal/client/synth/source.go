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
)

// Model says how the packets of a video frame follow each other. Audio is the same in both: a packet every 20 ms.
type Model string

// The models of traffic.
const (
	Burst   Model = "burst"   // equal in size and all at once, as a hardware encoder without a pacer sends them
	Browser Model = "browser" // two every 5 ms, sizes differing by a byte, small ones first, as Chromium does
)

const (
	pairs    = 2                    // packets at a time of Browser
	pairGap  = 5 * time.Millisecond // between them
	audioGap = 20 * time.Millisecond
)

// Config describes a Source. Zero values stand for the defaults.
type Config struct {
	Codec    Codec         // required
	Model    Model         // Burst
	FPS      int           // frames a second of video, 1 to 120: 30
	Packets  int           // packets of a frame, 1 to 64: 6; 1 for audio
	Size     int           // payload bytes of a packet, 60 to 1400: 1200; 120 for audio
	Shrink   int           // 0 to 4: how often the size is halved that key frames of VP8 and VP9 claim, 640 × 480
	KeyEvery time.Duration // a key frame this often; 0: only the first frame and on request
}

// Source makes the packets of one stream.
type Source struct {
	cfg      Config        // fixed after New
	interval time.Duration // fixed
	stream   uint32        // fixed
	base     uint32        // RTP timestamp of frame 0; fixed

	wantKey atomic.Bool
	muted   atomic.Bool

	// Owned by Run.
	frame   uint64 // number of the next frame by the clock, silence included
	picture uint16 // number of the next frame that is sent
	lastKey uint64 // frame number of the last key frame
	seq     uint16
	count   uint32
	packets []rtp.Packet // payloads are reused for each frame
}

// New makes a Source that will begin with a key frame.
func New(cfg Config) (*Source, error) {
	audio := cfg.Codec == Opus
	fill(&cfg.FPS, 30)
	fill(&cfg.Packets, map[bool]int{true: 1, false: 6}[audio])
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
		cfg:      cfg,
		interval: time.Second / time.Duration(cfg.FPS),
		stream:   rand.Uint32(),
		base:     rand.Uint32(),
		picture:  uint16(rand.Uint32()) & 0x7fff,
		seq:      uint16(rand.Uint32()),
		packets:  make([]rtp.Packet, cfg.Packets),
	}
	if audio {
		s.interval = audioGap
	}
	for i := range s.packets {
		payload := make([]byte, cfg.Size)
		for j := range payload {
			payload[j] = byte(rand.Uint32()) | 1 // no run of zeros that would be a start code
		}
		if cfg.Model == Browser && !audio && i < cfg.Packets/2 {
			payload = payload[:cfg.Size-1]
		}
		s.packets[i] = rtp.Packet{Header: rtp.Header{Version: 2}, Payload: payload}
	}
	s.wantKey.Store(true)
	return s, nil
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
	next := time.Now()
	wait := func(until time.Time) bool {
		timer.Reset(time.Until(until))
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		}
	}
	for wait(next) {
		if !s.muted.Load() {
			frame := s.Next()
			for i := range frame {
				if s.cfg.Model == Browser && i > 0 && i%pairs == 0 && !wait(next.Add(time.Duration(i/pairs)*pairGap)) {
					return nil
				}
				s.stamp(&frame[i])
				if err := write(&frame[i]); err != nil {
					return err
				}
			}
		} else {
			s.frame++
		}
		next = next.Add(s.interval)
		// A machine that slept or is overloaded does not send everything it owes: that would be a flood.
		if late := time.Since(next); late > time.Second {
			skipped := late / s.interval
			s.frame += uint64(skipped)
			next = next.Add(skipped * s.interval)
		}
	}
	return nil
}

// Next makes the packets of the next frame; they are unstamped, and the next call overwrites them. Run calls it; a test may do so
// instead, but not beside Run.
func (s *Source) Next() []rtp.Packet {
	key := s.cfg.Codec != Opus && s.wantKey.Swap(false)
	if every := s.cfg.KeyEvery; every > 0 && time.Duration(s.frame-s.lastKey)*s.interval >= every {
		key = s.cfg.Codec != Opus
	}
	if key {
		s.lastKey = s.frame
	}
	ticks := s.frame * uint64(s.cfg.Codec.Clock()) * uint64(s.interval/time.Microsecond) / 1e6
	for i := range s.packets {
		p := &s.packets[i]
		p.Header = rtp.Header{
			Version:        2,
			Marker:         s.cfg.Codec != Opus && i == len(s.packets)-1,
			SequenceNumber: s.seq,
			Timestamp:      s.base + uint32(ticks), //nolint:gosec // wraps, as RTP timestamps do
		}
		writeHeaders(s.cfg.Codec, p.Payload, place{key: key, picture: s.picture & 0x7fff, i: i, n: len(s.packets), shrink: s.cfg.Shrink})
		s.seq++
	}
	s.picture++
	s.frame++
	return s.packets
}

func (s *Source) stamp(p *rtp.Packet) {
	Stamp{Stream: s.stream, Count: s.count, Sent: time.Now()}.write(p.Payload)
	s.count++
}
