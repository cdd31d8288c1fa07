package synth

import (
	"time"

	"weever/mediad/internal/client/recording"
)

// This file says what a Source sends when: by rule, or as a recording has it.

// score says what is sent, picture by picture; a packet of audio counts as one. It does not change.
type score interface {
	picture(n uint64) picture // the n-th, the first being 0
	keyFrame() []part         // the packets of a key frame; nil: as any other
	most() (packets, size int)
}

type picture struct {
	at    time.Duration // of its first packet
	ticks uint64        // of its RTP timestamp
	parts []part
}

// part is one packet.
type part struct {
	after time.Duration // the first of its picture
	size  int           // of the payload
}

// ruled is a score of equal pictures whose packets are sent at once.
type ruled struct {
	interval time.Duration
	clock    uint64 // Hz
	parts    []part
}

func newRuled(cfg Config) *ruled {
	r := &ruled{interval: time.Second / time.Duration(cfg.FPS), clock: uint64(cfg.Codec.Clock())}
	for range cfg.Packets {
		r.parts = append(r.parts, part{size: cfg.Size})
	}
	return r
}

func (r *ruled) picture(n uint64) picture {
	at := time.Duration(n) * r.interval //nolint:gosec // centuries
	return picture{at: at, ticks: uint64(at/time.Microsecond) * r.clock / 1e6, parts: r.parts}
}

func (r *ruled) keyFrame() []part { return nil }

func (r *ruled) most() (packets, size int) { return len(r.parts), r.parts[0].size }

// played is a recording over and over. What follows the loop in the recording is when it begins again, so no seam shows.
type played struct {
	key    []part
	loop   []picture
	period time.Duration // of the loop
	ticks  uint64        // likewise
}

// settling is how long after its key frame a recorded stream is not itself yet: the key frame took the bits of those that follow.
const settling = time.Second

// newPlayed takes a stream to play in proportion to cfg: pictures a second, and packets of a picture.
func newPlayed(cfg Config, s recording.Stream) *played {
	pictures := picturesOf(s)
	p := &played{}
	if s[0].Key {
		p.key = thin(pictures[0].parts, cfg.Packets)
		for len(pictures) > 2 && pictures[0].at < settling {
			pictures = pictures[1:]
		}
	}
	first, end := pictures[0], pictures[len(pictures)-1]
	usual := usualFPS
	if cfg.Codec == Opus {
		usual = usualAudio
	}
	speed := func(d time.Duration) time.Duration { return d * time.Duration(usual) / time.Duration(cfg.FPS) }
	slower := func(ticks uint64) uint64 { return ticks * uint64(usual) / uint64(cfg.FPS) } //nolint:gosec // positive
	p.period, p.ticks = speed(end.at-first.at), slower(end.ticks-first.ticks)
	for _, pic := range pictures[:len(pictures)-1] {
		parts := pic.parts
		if cfg.Codec != Opus {
			parts = thin(parts, cfg.Packets)
		}
		p.loop = append(p.loop, picture{at: speed(pic.at - first.at), ticks: slower(pic.ticks - first.ticks), parts: parts})
	}
	return p
}

// picturesOf gathers packets by their timestamps.
func picturesOf(s recording.Stream) (all []picture) {
	for i, a := range s {
		if i == 0 || a.Timestamp != s[i-1].Timestamp {
			all = append(all, picture{at: a.At, ticks: uint64(a.Timestamp)})
		}
		last := &all[len(all)-1]
		last.parts = append(last.parts, part{after: a.At - last.at, size: a.Size})
	}
	return all
}

// thin leaves so many of each six packets, and one at least.
func thin(parts []part, packets int) []part {
	var left []part
	n := max(1, (len(parts)*packets+usualPackets/2)/usualPackets)
	for i := range n {
		left = append(left, parts[i*len(parts)/n])
	}
	return left
}

func (p *played) picture(n uint64) picture {
	pic := p.loop[n%uint64(len(p.loop))]
	lap := n / uint64(len(p.loop))
	pic.at += time.Duration(lap) * p.period //nolint:gosec // centuries
	pic.ticks += lap * p.ticks
	return pic
}

func (p *played) keyFrame() []part { return p.key }

func (p *played) most() (packets, size int) {
	count := func(parts []part) {
		packets = max(packets, len(parts))
		for _, one := range parts {
			size = max(size, one.size)
		}
	}
	count(p.key)
	for _, pic := range p.loop {
		count(pic.parts)
	}
	return packets, size
}
