package session

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/relay"
	"weever/shared/apierr"
	"weever/shared/room"
)

const (
	maxPacket    = 1500 // bytes of an RTP or RTCP packet; nothing larger passes an Ethernet path unfragmented
	maxTracks    = 16   // of one publisher
	maxRecodings = 16   // changes of codec of one track; more is no encoder's doing
	maxReadFails = 1000 // in a row, of a track: packets of payload types that nobody negotiated, and other noise
)

// intake takes a publisher's media in: one stream per track and layer, fed by a goroutine each. The publisher makes it and
// closes it; pion calls accept.
type intake struct {
	pub   *publisher
	first chan struct{} // closed by the first packet

	mu      sync.Mutex // guards what follows
	sent    bool       // first is closed
	dirty   bool       // tracks are other than last recorded
	closed  bool
	inputs  []*input // in the order of the m-lines
	readers sync.WaitGroup
}

// input is one m-line of the publisher.
type input struct {
	mid     string
	off     bool // the publisher removed the track; the section may be used again
	recoded int
	track   room.Track
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

func newIntake(p *publisher) *intake { return &intake{pub: p, first: make(chan struct{})} }

// declare takes in the m-lines of an answered offer. A track is known from here on, before its first packet: the answer's first
// codec is what senders use, and accept corrects it for one that does not.
func (in *intake) declare(sections []peer.Section, answer string) error {
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

// room refuses sections that would be too many tracks with those there are.
func (in *intake) room(sections []peer.Section) error {
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
func (in *intake) addLocked(sec peer.Section, c webrtc.RTPCodecParameters) *input {
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
	in.inputs = append(in.inputs, i)
	in.dirty = true
	return i
}

// openLocked makes the streams of an input with its present codec and offers them to the relay, closing earlier ones.
func (in *intake) openLocked(i *input) error {
	for _, s := range i.streams {
		s.unpublish()
		s.Close()
	}
	clear(i.streams)
	i.opened.Add(1)
	if i.off {
		return nil
	}
	layers := i.track.Layers
	if len(layers) == 0 {
		layers = []string{""}
	}
	for _, layer := range layers {
		r := i.remotes[layer]
		if r == nil {
			r = &remote{}
			i.remotes[layer] = r
		}
		s, err := fanout.NewStream(fanout.StreamConfig{
			Codec: i.track.Codec, Fmtp: i.track.Fmtp, Clock: i.track.Clock,
			KeyframeWish: func() { in.wish(r) },
		})
		if err != nil {
			return err
		}
		key := relay.Key{Room: in.pub.id.room, Publisher: in.pub.id.full, Inc: in.pub.id.inc, Track: i.track.ID, Layer: layer}
		unpublish, err := in.pub.svc.cfg.Relay.Publish(key, s)
		if err != nil {
			s.Close()
			return err
		}
		i.streams[layer] = &source{s, unpublish}
	}
	return nil
}

// wish asks the publisher for a key frame.
func (in *intake) wish(r *remote) {
	if track := r.track.Load(); track != nil {
		_ = in.pub.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
	}
}

// tracks is the present list for the record.
func (in *intake) tracks() []room.Track {
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

// changed reports whether tracks would return something new.
func (in *intake) changed() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.dirty
}

// accept is called by pion, in a goroutine of its own, when the first packet of a remote track has come; it reads the track
// until the connection closes.
func (in *intake) accept(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	i, ok := in.begin(track, receiver)
	if !ok {
		return
	}
	defer in.readers.Done()
	in.readers.Go(func() { in.readReports(i, receiver, track.RID()) })
	ids := fanout.ExtIDsOf(receiver.GetParameters().HeaderExtensions)
	buf := make([]byte, maxPacket)
	var stream *fanout.Stream
	payloadType, opened, fails := -1, int64(0), 0
	for fails < maxReadFails {
		n, _, err := track.Read(buf)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			return
		case err != nil || n < 2:
			fails++ // not a packet of this track's; the next one may be
			continue
		}
		fails = 0
		if pt := int(buf[1] & 0x7f); pt != payloadType || opened != i.opened.Load() {
			payloadType, stream = pt, in.stream(i, track)
			opened = i.opened.Load()
		}
		if stream != nil {
			_ = stream.WriteRTP(buf[:n], ids) // a malformed packet is counted by the stream
		}
	}
	in.pub.log.Warn("track given up: nothing that arrives can be read", "track", i.track.ID)
}

// begin finds the input of a remote track and counts its reader. pion announces a track again for each SSRC that claims its
// section and layer: the first reader goes on.
func (in *intake) begin(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) (*input, bool) {
	mid := ""
	for _, t := range in.pub.pc.GetTransceivers() {
		if t.Receiver() == receiver {
			mid = t.Mid()
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	n := slices.IndexFunc(in.inputs, func(i *input) bool { return i.mid == mid })
	if mid == "" { // an offer without SSRCs: pion made a section of its own
		n = slices.IndexFunc(in.inputs, func(i *input) bool { return i.track.Kind == track.Kind().String() })
	}
	if in.closed || n < 0 || in.inputs[n].remotes[track.RID()] == nil {
		return nil, false
	}
	i := in.inputs[n]
	r := i.remotes[track.RID()]
	if old := r.track.Swap(track); old == track {
		return nil, false
	}
	if !in.sent {
		in.sent = true
		close(in.first)
	}
	in.readers.Add(1)
	return i, true
}

// stream gives the stream for what a remote track sends now, with its present codec; nil while it is removed.
func (in *intake) stream(i *input, track *webrtc.TrackRemote) *fanout.Stream {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || i.off {
		return nil
	}
	c := track.Codec()
	if c.MimeType != "" && (!strings.EqualFold(c.MimeType, i.track.Codec) || c.SDPFmtpLine != i.track.Fmtp) && i.recoded < maxRecodings {
		i.recoded++
		i.track.Codec, i.track.Fmtp, i.track.Clock, i.track.Chans = c.MimeType, c.SDPFmtpLine, c.ClockRate, c.Channels
		in.dirty = true
		if err := in.openLocked(i); err != nil {
			in.pub.log.Error("track not taken in", "track", i.track.ID, "err", err)
			return nil
		}
		in.pub.again()
	}
	if s := i.streams[track.RID()]; s != nil {
		return s.Stream
	}
	return nil
}

// readReports passes the publisher's sender reports on and keeps pion's RTCP buffers empty. It ends with the receiver.
func (in *intake) readReports(i *input, receiver *webrtc.RTPReceiver, rid string) {
	buf := make([]byte, maxPacket)
	for fails := 0; fails < maxReadFails; {
		var n int
		var err error
		if rid == "" {
			n, _, err = receiver.Read(buf)
		} else {
			n, _, err = receiver.ReadSimulcast(buf, rid)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			return
		case err != nil:
			fails++
			continue
		}
		fails = 0
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, pkt := range packets {
			if sr, ok := pkt.(*rtcp.SenderReport); ok {
				in.report(i, rid, fanout.SenderReport{NTP: sr.NTPTime, RTP: sr.RTPTime})
			}
		}
	}
}

func (in *intake) report(i *input, rid string, sr fanout.SenderReport) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := i.streams[rid]; s != nil && !in.closed {
		s.WriteReport(sr)
	}
}

// close ends the streams; the readers end when the connection is closed. It may be called more than once.
func (in *intake) close() {
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

// wait returns when the readers have ended; the connection must have been closed.
func (in *intake) wait() { in.readers.Wait() }
