// Package arrival counts what has come of each publisher's tracks: packets, gaps, repairs, key frames, and how late it was.
//
// A Reception belongs to one PeerConnection and follows the server's descriptions; a Track counts. Nothing here starts a goroutine.
package arrival

import (
	"sync"
	"time"

	"github.com/pion/rtp"

	"weever/mediad/internal/client/histogram"
	"weever/mediad/internal/client/synth"
)

// Stats says what has come of one track of one publisher.
type Stats struct {
	Pub    string // msid's stream: the publisher's full id
	ID     string // msid's track: "video0"
	Mid    string // of the section that carries it, or did last
	Kind   string // "audio" or "video"
	Active bool   // a section carries it at the moment
	Codec  string // media type of the newest packet; empty before the first

	Packets    uint64 // different ones
	Bytes      uint64 // of their RTP payloads
	Gaps       uint64 // sequence numbers that were not there when a later one came: lost at first
	Lost       uint64 // sequence numbers that are missing still: lost and not repaired
	Repaired   uint64 // packets that came by RTX
	Duplicates uint64 // packets that came again
	SSRCs      int    // how often the SSRC changed, plus one
	Backwards  int    // packets in sequence whose timestamp went back: a receiver would stumble
	SSRC       uint32
	LastSeq    uint16
	Timestamp  uint32 // of the newest packet

	// Of packets made by package synth.
	Stamped uint64               // how many
	Missing uint64               // counts missing between the first and the last of a stream, whoever lost them
	Streams int                  // how often the source changed, plus one: other layer, other publisher session
	Stream  uint32               // the newest source
	Latency *histogram.Histogram // of packets that were sent after the first one had come: cached ones are older

	FirstAt time.Time // first packet
	KeyAt   time.Time // first whole key frame, from when on pictures can be shown; for audio as FirstAt
	LastAt  time.Time // newest packet
}

// Track counts. A few hundred nanoseconds and no allocation a packet; any goroutine may call its methods.
type Track struct {
	mu      sync.Mutex
	s       Stats
	seqs    window
	counts  window
	lost    uint64 // by SSRCs before this one
	missing uint64 // by streams before this one
	latency histogram.Histogram

	// The key frame that is coming in, until the first one is whole.
	key      bool
	keyTS    uint32
	keyFirst uint16
	keyGot   uint16
}

// New makes a Track that has seen nothing, of the publisher pub (a msid's stream) and with the name id (a msid's track).
func New(pub, id, kind string) *Track { return &Track{s: Stats{Pub: pub, ID: id, Kind: kind}} }

// Observe counts one packet. codec is its media type, repaired whether it came by RTX, now when. p is not kept.
func (t *Track) Observe(p *rtp.Packet, codec string, repaired bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.s
	if s.FirstAt.IsZero() {
		s.FirstAt = now
	}
	if s.SSRC != p.SSRC || s.SSRCs == 0 {
		t.lost += t.seqs.lost()
		s.SSRC = p.SSRC
		s.SSRCs++
		t.seqs.started = false
	}
	follows := t.seqs.started && p.SequenceNumber == s.LastSeq+1
	if !t.seqs.add16(p.SequenceNumber) {
		return
	}
	if follows && int32(p.Timestamp-s.Timestamp) < 0 { //nolint:gosec // the difference is meant to wrap
		s.Backwards++
	}
	if uint16(t.seqs.top) == p.SequenceNumber { //nolint:gosec // top is unwrapped
		s.LastSeq, s.Timestamp = p.SequenceNumber, p.Timestamp
	}
	if repaired {
		s.Repaired++
	}
	s.Packets++
	s.Bytes += uint64(len(p.Payload))
	s.Codec, s.LastAt = codec, now
	if s.KeyAt.IsZero() {
		t.watchKey(p, codec, now)
	}
	if mark, ok := synth.ReadStamp(p.Payload); ok {
		t.stamped(mark, now)
	}
}

// stamped counts what a synthetic packet says of itself.
func (t *Track) stamped(mark synth.Stamp, now time.Time) {
	s := &t.s
	if s.Stream != mark.Stream || s.Streams == 0 {
		t.missing += t.counts.lost()
		s.Stream = mark.Stream
		s.Streams++
		t.counts.started = false
	}
	s.Stamped++
	t.counts.add32(mark.Count)
	if mark.Sent.After(s.FirstAt) {
		t.latency.Record(now.Sub(mark.Sent))
	}
}

// watchKey sets KeyAt when all packets of one key frame have come.
func (t *Track) watchKey(p *rtp.Packet, codec string, now time.Time) {
	if t.s.Kind == "audio" {
		t.s.KeyAt = now
		return
	}
	if !t.key || p.Timestamp != t.keyTS {
		if !synth.StartsKeyFrame(synth.Codec(codec), p.Payload) {
			return
		}
		t.key, t.keyTS, t.keyFirst, t.keyGot = true, p.Timestamp, p.SequenceNumber, 0
	}
	t.keyGot++
	if p.Marker && t.keyGot == p.SequenceNumber-t.keyFirst+1 {
		t.s.KeyAt = now
	}
}

// Assign says whether a section carries the track now, and which.
func (t *Track) Assign(mid string, active bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if active {
		t.s.Mid = mid
	}
	t.s.Active = active
}

// Reset sets all counts to zero, for a measurement that begins now. What the track is, and when it first came, stays.
func (t *Track) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Packets, t.s.Bytes, t.s.Repaired, t.s.Stamped = 0, 0, 0, 0
	t.s.Backwards, t.s.SSRCs, t.s.Streams = 0, min(t.s.SSRCs, 1), min(t.s.Streams, 1)
	t.seqs.restart()
	t.counts.restart()
	t.lost, t.missing = 0, 0
	t.latency = histogram.Histogram{}
}

// Stats returns the present counts.
func (t *Track) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	s.Lost = t.lost + t.seqs.lost()
	s.Gaps, s.Duplicates = t.seqs.gaps, t.seqs.again
	s.Missing = t.missing + t.counts.lost()
	latency := t.latency
	s.Latency = &latency
	return s
}
