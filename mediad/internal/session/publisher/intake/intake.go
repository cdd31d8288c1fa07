// Package intake takes a publisher's media in: one stream per track and layer, offered to the relay and fed with what belongs to it.
//
// A publisher's session makes an Intake, declares the m-lines of each answered offer to it and closes it. Packets come from the publisher's
// inbound.Receiver, in the goroutine that reads the socket, or from pion by Accept.
package intake

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/headerext"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/session/publisher/receipts"
	"weever/shared/apierr"
	"weever/shared/room"
)

const (
	maxTracks    = 16 // of one publisher
	maxRecodings = 16 // changes of codec of one track; more is no encoder's doing

	maxGathered = 64 // packets that go on together, for which there is room from the beginning
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
	due     chan struct{} // capacity 1: something is to be told earlier than was known
	ended   chan struct{} // closed by Close

	mu      sync.Mutex // guards what follows
	sent    bool       // first is closed
	dirty   bool       // tracks are other than last recorded
	closed  bool
	listed  time.Time // when the tracks' layers were looked at last
	inputs  []*input  // in the order of the m-lines
	ids     headerext.IDs
	lanes   map[uint32]*lane // by SSRC
	book    *receipts.Book
	awaited time.Time // when tell looks at it next; zero: when it is due

	// What has come together so far.
	now    time.Time // of the first; zero: nothing has come
	header rtp.Header
	burst  []fanout.Packet
	target *fanout.Stream // of burst

	tellers sync.WaitGroup
}

// input is one m-line of the publisher.
type input struct {
	mid     string
	off     bool // the publisher removed the track; the section may be used again
	formats peer.Media
	sources map[uint32]uint32 // as peer.Section has them
	repeats bool              // the publisher sends again what it is asked for
	recoded int
	track   room.Track         // its layers: those that flow, best first
	layers  []layer            // of simulcast, all that were declared
	streams map[string]*source // by layer; "" without simulcast
	remotes map[string]*remote // by layer
	opened  int                // how often the streams were made anew
}

// source is one stream and its place on the relay.
type source struct {
	*fanout.Stream
	unpublish func()
}

// remote is where the packets of a layer come from.
type remote struct {
	ssrc atomic.Uint32 // that came last; 0: none yet
}

// New makes an Intake without tracks. Close ends it.
func New(cfg Config) *Intake {
	in := &Intake{
		cfg: cfg, first: make(chan struct{}), changed: make(chan struct{}, 1), due: make(chan struct{}, 1), ended: make(chan struct{}),
		lanes: map[uint32]*lane{}, book: receipts.New(rand.Uint32()), burst: make([]fanout.Packet, 0, maxGathered), //nolint:gosec // no secret
	}
	in.tellers.Go(in.tell)
	return in
}

// First is closed when the first packet has come.
func (in *Intake) First() <-chan struct{} { return in.first }

// Changed says that a track has changed without an offer, its codec or the layers that flow: look at Dirty. It is never closed.
func (in *Intake) Changed() <-chan struct{} { return in.changed }

// Declare takes in the m-lines of an answered offer. A track is known from here on, before its first packet: the answer's first
// codec is what senders use, and Accept corrects it for one that does not.
func (in *Intake) Declare(sections []peer.Section, answer string) error {
	formats := peer.Negotiated(answer)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	for _, sec := range sections {
		// All sections share a transport, and there a number means one extension (RFC 8843 section 9.1 by way of RFC 9143 section 7.1.3).
		in.ids = in.ids.Or(headerext.Of(formats[sec.Mid].Extensions))
		n := slices.IndexFunc(in.inputs, func(i *input) bool { return i.mid == sec.Mid })
		if n >= 0 && !sec.Off {
			in.inputs[n].formats, in.inputs[n].sources = formats[sec.Mid], sec.Sources
		}
		switch {
		case n >= 0 && sec.Off != in.inputs[n].off:
			in.dirty = true
			in.inputs[n].off = sec.Off
			if err := in.openLocked(in.inputs[n]); err != nil {
				return err
			}
		case n < 0 && !sec.Off && len(formats[sec.Mid].Codecs) > 0:
			i := in.addLocked(sec, formats[sec.Mid])
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
func (in *Intake) addLocked(sec peer.Section, formats peer.Media) *input {
	n, c := 0, formats.Codecs[0]
	for _, i := range in.inputs {
		if i.track.Kind == sec.Kind.String() {
			n++
		}
	}
	i := &input{mid: sec.Mid, formats: formats, sources: sec.Sources, streams: map[string]*source{}, remotes: map[string]*remote{}, track: room.Track{
		ID: sec.Kind.String() + strconv.Itoa(n), Kind: sec.Kind.String(),
		Codec: c.MimeType, Clock: c.ClockRate, Chans: c.Channels, Fmtp: c.SDPFmtpLine, Layers: sec.Rids,
	}}
	for _, rid := range sec.Rids {
		i.layers = append(i.layers, layer{rid: rid})
	}
	i.repeats = slices.ContainsFunc(c.RTCPFeedback, func(f webrtc.RTCPFeedback) bool { return f == webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBNACK} })
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
	i.opened++
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
	if ssrc := r.ssrc.Load(); ssrc != 0 {
		_ = in.cfg.PC.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
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

// Close ends the streams; nothing is taken in any more. It may be called more than once.
func (in *Intake) Close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return
	}
	in.closed = true
	close(in.ended)
	for _, i := range in.inputs {
		for _, s := range i.streams {
			s.unpublish()
			s.Close()
		}
	}
}

// Wait returns when everything that was started has ended; the Intake and the connection must have been closed.
func (in *Intake) Wait() { in.tellers.Wait() }
