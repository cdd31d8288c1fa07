// Package intake takes a publisher's media in: one stream per track and layer, offered to the relay and fed by a goroutine each.
//
// A publisher's session makes an Intake, declares the m-lines of each answered offer to it and closes it. pion calls Accept, in
// goroutines that end when the connection is closed.
package intake

import (
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/relay"
	"weever/shared/apierr"
	"weever/shared/room"
)

const (
	maxTracks    = 16 // of one publisher
	maxRecodings = 16 // changes of codec of one track; more is no encoder's doing
)

// Config is what an Intake works with.
type Config struct {
	Key   relay.Key // of the publisher: room, full id and incarnation
	PC    *webrtc.PeerConnection
	Relay *relay.Relay
	Log   *slog.Logger

	Writers *fanout.Writers // hand on what the publisher sends; may be nil, as of fanout.StreamConfig
}

// Intake is a publisher's media. Its methods may be called by any goroutine.
type Intake struct {
	cfg     Config
	first   chan struct{} // closed by the first packet
	changed chan struct{} // capacity 1

	mu      sync.Mutex // guards what follows
	sent    bool       // first is closed
	dirty   bool       // tracks are other than last recorded
	closed  bool
	listed  time.Time // when the tracks' layers were looked at last
	inputs  []*input  // in the order of the m-lines
	readers sync.WaitGroup
}

// input is one m-line of the publisher.
type input struct {
	mid     string
	off     bool // the publisher removed the track; the section may be used again
	recoded int
	track   room.Track         // its layers: those that flow, best first
	layers  []layer            // of simulcast, all that were declared
	streams map[string]*source // by layer; "" without simulcast
	remotes map[string]*remote // by layer
	opened  atomic.Int64       // how often the streams were made anew; the readers look here
}

// source is one stream and its place on the relay.
type source struct {
	*fanout.Stream
	unpublish func()
}

// remote is where the packets of a layer come from. One goroutine reads it, whatever SSRCs the publisher uses.
type remote struct {
	track atomic.Pointer[webrtc.TrackRemote]
}

// New makes an Intake without tracks.
func New(cfg Config) *Intake {
	return &Intake{cfg: cfg, first: make(chan struct{}), changed: make(chan struct{}, 1)}
}

// First is closed when the first packet has come.
func (in *Intake) First() <-chan struct{} { return in.first }

// Changed says that a track has changed without an offer, its codec or the layers that flow: look at Dirty. It is never closed.
func (in *Intake) Changed() <-chan struct{} { return in.changed }

// Declare takes in the m-lines of an answered offer. A track is known from here on, before its first packet: the answer's first
// codec is what senders use, and Accept corrects it for one that does not.
func (in *Intake) Declare(sections []peer.Section, answer string) error {
	codecs := peer.Negotiated(answer)
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, sec := range sections {
		n := slices.IndexFunc(in.inputs, func(i *input) bool { return i.mid == sec.Mid })
		switch {
		case n >= 0 && sec.Off != in.inputs[n].off:
			in.dirty = true
			in.inputs[n].off = sec.Off
			if err := in.openLocked(in.inputs[n]); err != nil {
				return err
			}
		case n < 0 && !sec.Off && len(codecs[sec.Mid]) > 0:
			i := in.addLocked(sec, codecs[sec.Mid][0])
			if err := in.openLocked(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// Fits refuses sections that would be too many tracks with those there are.
func (in *Intake) Fits(sections []peer.Section) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := len(in.inputs)
	for _, sec := range sections {
		if !slices.ContainsFunc(in.inputs, func(i *input) bool { return i.mid == sec.Mid }) {
			n++
		}
	}
	if n > maxTracks {
		return apierr.New(apierr.Unacceptable, "a publisher may have %d tracks, removed ones included", maxTracks)
	}
	return nil
}

// addLocked makes the input of a new section.
func (in *Intake) addLocked(sec peer.Section, c webrtc.RTPCodecParameters) *input {
	n := 0
	for _, i := range in.inputs {
		if i.track.Kind == sec.Kind.String() {
			n++
		}
	}
	i := &input{mid: sec.Mid, streams: map[string]*source{}, remotes: map[string]*remote{}, track: room.Track{
		ID: sec.Kind.String() + strconv.Itoa(n), Kind: sec.Kind.String(),
		Codec: c.MimeType, Clock: c.ClockRate, Chans: c.Channels, Fmtp: c.SDPFmtpLine, Layers: sec.Rids,
	}}
	for _, rid := range sec.Rids {
		i.layers = append(i.layers, layer{rid: rid})
	}
	in.inputs = append(in.inputs, i)
	in.dirty = true
	return i
}

// openLocked makes the streams of an input with its present codec and offers them to the relay, closing earlier ones.
func (in *Intake) openLocked(i *input) error {
	for _, s := range i.streams {
		s.unpublish()
		s.Close()
	}
	clear(i.streams)
	i.opened.Add(1)
	if i.off {
		return nil
	}
	rids := []string{""}
	if len(i.layers) > 0 {
		rids = rids[:0]
	}
	for _, l := range i.layers {
		rids = append(rids, l.rid)
	}
	for _, rid := range rids {
		r := i.remotes[rid]
		if r == nil {
			r = &remote{}
			i.remotes[rid] = r
		}
		s, err := fanout.NewStream(fanout.StreamConfig{
			Codec: i.track.Codec, Fmtp: i.track.Fmtp, Clock: i.track.Clock, Writers: in.cfg.Writers,
			KeyframeWish: func() { in.wish(r) },
		})
		if err != nil {
			return err
		}
		key := in.cfg.Key
		key.Track, key.Layer = i.track.ID, rid
		unpublish, err := in.cfg.Relay.Publish(key, s)
		if err != nil {
			s.Close()
			return err
		}
		i.streams[rid] = &source{s, unpublish}
	}
	return nil
}

// wish asks the publisher for a key frame.
func (in *Intake) wish(r *remote) {
	if track := r.track.Load(); track != nil {
		_ = in.cfg.PC.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
	}
}

// Tracks is the present list for the record, which it takes as made: Dirty is false from here on.
func (in *Intake) Tracks() []room.Track {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dirty = false
	out := make([]room.Track, 0, len(in.inputs))
	for _, i := range in.inputs {
		if !i.off {
			out = append(out, i.track)
		}
	}
	return out
}

// Dirty reports whether Tracks would return something new.
func (in *Intake) Dirty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.dirty
}

// Close ends the streams; the readers end when the connection is closed. It may be called more than once.
func (in *Intake) Close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return
	}
	in.closed = true
	for _, i := range in.inputs {
		for _, s := range i.streams {
			s.unpublish()
			s.Close()
		}
	}
}

// Wait returns when the readers have ended; the connection must have been closed.
func (in *Intake) Wait() { in.readers.Wait() }
