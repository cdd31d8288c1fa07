// Package down makes of the streams that a viewer watches in one place, one after the other, a single outgoing RTP stream.
//
// A Track is one m-line of one viewer. The session that made it tells it what to show (Switch), whether (Pause) and hands it what the
// viewer reports (HandleRTCP); pion binds it to a transport; the fan-out's Stream feeds it. It stops with Switch(nil, nil).
package down

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/down/feedback"
	"weever/mediad/internal/fanout/down/format"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/headerext"
	"weever/mediad/internal/fanout/secure"
)

// freshAfter is the silence after which the next stream may begin with an old key frame: sooner, the viewer would see again what
// it has just seen.
const freshAfter = 500 * time.Millisecond

// Config is what a Track needs to be made.
type Config struct {
	Kind webrtc.RTPCodecType // audio or video

	// WriteRTCP sends to the viewer where Out does not: PeerConnection.WriteRTCP. It must not block. May be nil where there is an Out.
	WriteRTCP func([]rtcp.Packet) error

	// Out sends to the viewer what the track writes; nil: pion does, a packet at a time.
	Out *secure.Sender

	// Began is told each time that a stream's first packet was written, of video the first of a key frame, with how long that was
	// waited for: since the stream was set and the transport up, or since the stream jumped. It must not block, allocate or call
	// the track. May be nil.
	Began func(waited time.Duration)
}

// Track is one outgoing track of one viewer; it implements webrtc.TrackLocal.
//
// All methods may be called by any goroutine at any time. The one mutex is held while a burst of packets is written to the transport,
// never while another party's code runs, except that of pion's write path and of the Stream.
type Track struct {
	cfg   Config
	msid  atomic.Pointer[msid]
	drops drop.Counters

	mu       sync.Mutex
	bound    bool
	started  bool
	paused   bool
	measured bool
	urgent   bool        // SwitchNow is under way
	now      time.Time   // of the burst that is being written, while measured
	cur      *source     // what the viewer gets
	next     *source     // what it is to get, from the first packet that can begin
	retry    *time.Timer // attaches next again; nil: not running
	out      output
	run      run
	last     last
	resend   resends
	stats    Stats
}

type msid struct{ stream, track string }

// output is what pion negotiated.
type output struct {
	writer  webrtc.TrackLocalWriter
	id      string // of the binding
	ssrc    uint32
	rtxSSRC uint32 // 0: no retransmission stream
	ids     headerext.IDs
	formats format.List

	header rtp.Header // reused for every packet
	ext    [2]byte    // backs the header's extensions
	buf    []byte     // a payload that had to be changed; made on first use
}

// New returns a track that is not bound and shows nothing.
func New(cfg Config) (*Track, error) {
	if cfg.Kind != webrtc.RTPCodecTypeAudio && cfg.Kind != webrtc.RTPCodecTypeVideo {
		return nil, errors.New("a track is audio or video")
	}
	t := &Track{cfg: cfg}
	t.msid.Store(&msid{})
	t.resend.seq = uint16(rand.Uint32())
	return t, nil
}

// SetMsid sets what SDP says of the track from the next offer or answer on (RFC 8830).
func (t *Track) SetMsid(streamID, trackID string) { t.msid.Store(&msid{streamID, trackID}) }

// ID returns the track part of the msid.
func (t *Track) ID() string { return t.msid.Load().track }

// StreamID returns the stream part of the msid.
func (t *Track) StreamID() string { return t.msid.Load().stream }

// RID returns "": a viewer is sent one layer.
func (t *Track) RID() string { return "" }

// Kind returns audio or video.
func (t *Track) Kind() webrtc.RTPCodecType { return t.cfg.Kind }

// Bind is called by pion when a round of negotiation has settled the codecs. It returns the format of the present stream, if there
// is one and it fits, else the first; which one is used is decided anew for each stream. A sender keeps its Track for life: another
// one on the same SSRC would begin with numbers that SRTP takes for a replay.
func (t *Track) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	formats := format.Of(ctx.CodecParameters())
	if len(formats) == 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	ids := headerext.Of(ctx.HeaderExtensions()).OneByte()
	t.out.writer, t.out.id, t.out.formats, t.out.ids = ctx.WriteStream(), ctx.ID(), formats, ids
	t.out.ssrc, t.out.rtxSSRC = uint32(ctx.SSRC()), uint32(ctx.SSRCRetransmission())
	if t.cfg.Out != nil {
		t.cfg.Out.Listen(t.out.ssrc, t)
	}
	t.bound = true
	t.attach()
	if want := t.wanted(); want != nil {
		if f, fits := t.out.formats.Best(want.stream.Codec(), want.stream.Fmtp()); fits {
			return f.Params, nil
		}
	}
	return formats[0].Params, nil
}

// Unbind is called by pion when the track's sender stops or gets another track.
func (t *Track) Unbind(ctx webrtc.TrackLocalContext) error {
	t.mu.Lock()
	if !t.bound || t.out.id != ctx.ID() {
		t.mu.Unlock()
		return webrtc.ErrUnbindFailed
	}
	t.bound, t.out.writer = false, nil
	if t.cfg.Out != nil {
		t.cfg.Out.Ignore(t.out.ssrc)
	}
	freed := t.suspend()
	t.mu.Unlock()
	freed.run()
	return nil
}

// Direct reports whether HandleRTCP is called by the track's own way out; else whoever reads from the track's RTPSender has to.
func (t *Track) Direct() bool { return t.cfg.Out != nil }

// Start says that the transport is up. pion binds tracks before that and swallows what is written: a key frame would be lost.
// Calling it again does nothing.
func (t *Track) Start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = true
	t.attach()
}

// Switch makes the track show s; nil: nothing. The stream before it goes on until s has a packet that can begin (of video a key
// frame, which is asked for), so that nothing stands still meanwhile; unless it has been silent, when s begins with its cached key
// frame if there is one. release, which may be nil, is called once, by any goroutine and without a lock, when the track has no more
// use for s; it must not block. Switching to the stream that is shown already only calls release.
func (t *Track) Switch(s *fanout.Stream, release func()) {
	t.mu.Lock()
	freed := t.retarget(s, release)
	t.mu.Unlock()
	freed.run()
}

// SwitchNow is Switch for a link that is too full: what is shown now stops at once, and s begins with its next key frame, which is asked for. The
// cached one would be followed by seconds of old pictures at once.
func (t *Track) SwitchNow(s *fanout.Stream, release func()) {
	var freed freed
	t.mu.Lock()
	if t.cur != nil && t.cur.stream != s {
		freed.drop(t.cur)
		t.cur = nil
	}
	t.urgent = true
	freed = append(freed, t.retarget(s, release)...)
	t.urgent = false
	t.mu.Unlock()
	freed.run()
}

// Pause stops and resumes the output, keeping the stream for later.
func (t *Track) Pause(on bool) {
	t.mu.Lock()
	var freed freed
	t.paused = on
	if on {
		freed = t.suspend()
	} else {
		t.attach()
	}
	t.mu.Unlock()
	freed.run()
}

// Measure says whether packets are to carry transport-wide sequence numbers, if the viewer negotiated them, of which it then reports several
// times a second. Each report costs the node about as much as a packet, so it asks only who has a choice between layers.
func (t *Track) Measure(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.measured = on
}

// Measurable reports whether Measure has an effect: the viewer negotiated the numbers and, for video, a stream of retransmissions (see
// extras). Before Bind nothing speaks against it.
func (t *Track) Measurable() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.bound:
		return true
	case t.cfg.Out == nil || t.out.ids.Wide == 0:
		return false
	}
	resends := t.out.rtxSSRC != 0 && slices.ContainsFunc(t.out.formats, func(f format.Format) bool { return f.RTX != 0 })
	return resends || t.cfg.Kind == webrtc.RTPCodecTypeAudio
}

// Accepts reports whether the viewer negotiated a format for such a stream; false before Bind.
func (t *Track) Accepts(mediaType, fmtp string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, fits := t.out.formats.Best(mediaType, fmtp)
	return fits
}

// Stats is a reading of a track's counters since it was made, and of the viewer's last report.
type Stats struct {
	Packets, Bytes       uint64 // sent, without retransmissions; payload bytes
	Resent, ResentBytes  uint64
	ResentRTX            uint64 // of Resent, those on the retransmission stream
	Nacks, KeyframeAsked uint64 // packets asked for again; PLI and FIR

	feedback.Quality

	Waiting bool // a stream is set and not paused, but has had no packet to begin with
	Drops   drop.Counts
}

// Stats reads the counters.
func (t *Track) Stats() Stats {
	t.mu.Lock()
	st := t.stats
	st.Waiting = t.next != nil && !t.paused
	t.mu.Unlock()
	st.Drops = t.drops.Read()
	return st
}
