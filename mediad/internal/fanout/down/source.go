package down

import (
	"time"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/down/format"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/udpio"
)

const (
	// wishAgain is how often a key frame is asked for again while one is waited for: wishes get lost.
	wishAgain = time.Second

	// blindAfter is when a stream without recognisable key frames begins with any packet: its payloads are opaque to us.
	blindAfter = time.Second

	// retryAfter is when a stream is attached again that began before the transport took packets.
	retryAfter = 20 * time.Millisecond
)

// source is one attachment of a track to a stream; it implements fanout.Sink. It is used once: what comes from a source that is
// neither the track's present nor its next one is late and dropped. Its fields are guarded by the track's mutex.
type source struct {
	track   *Track
	stream  *fanout.Stream
	release func()
	detach  func() // nil: not attached
	format  format.Format
	fits    bool      // format is one that the viewer negotiated
	since   time.Time // waits for a packet to begin with
	wished  time.Time // last asked for a key frame
}

// freed is what to call when the lock is released.
type freed []func()

func (f freed) run() {
	for _, release := range f {
		release()
	}
}

// drop detaches s for good.
func (f *freed) drop(s *source) {
	if s == nil {
		return
	}
	if s.detach != nil {
		s.detach()
	}
	if s.release != nil {
		*f = append(*f, s.release)
	}
}

// wanted is the stream that was set last, nil: none; the caller holds mu, as in all that follows.
func (t *Track) wanted() *source {
	if t.next != nil {
		return t.next
	}
	return t.cur
}

func (t *Track) retarget(s *fanout.Stream, release func()) (f freed) {
	if want := t.wanted(); want != nil && want.stream == s {
		f.drop(&source{release: release})
		return f
	}
	f.drop(t.next)
	t.next = nil
	switch {
	case s == nil:
		f.drop(t.cur)
		t.cur = nil
		t.stopRetry()
	case t.cur != nil && t.cur.stream == s: // back to what is still shown
		f.drop(&source{release: release})
	default:
		t.next = &source{track: t, stream: s, release: release}
		t.attach()
	}
	return f
}

// attach lets the next stream feed the track, if it may.
func (t *Track) attach() {
	s := t.next
	if s == nil || s.detach != nil || !t.bound || !t.started || t.paused {
		return
	}
	now := time.Now()
	s.since, s.wished = now, now
	s.format, s.fits = t.out.formats.Best(s.stream.Codec(), s.stream.Fmtp())
	if !t.urgent && (t.cur == nil || now.Sub(t.last.at) > freshAfter) {
		s.detach = s.stream.Attach(s)
		return
	}
	s.detach = s.stream.AttachLive(s)
	s.stream.RequestKeyframe()
}

// suspend detaches the track, but keeps the stream that it wants.
func (t *Track) suspend() (f freed) {
	want := t.wanted()
	if t.cur != want {
		f.drop(t.cur)
	}
	t.cur, t.next = nil, nil
	t.stopRetry()
	if want != nil {
		t.again(want)
	}
	return f
}

// again makes the stream of s the next one, with a new source that is not attached.
func (t *Track) again(s *source) {
	if s.detach != nil {
		s.detach()
	}
	t.next = &source{track: t, stream: s.stream, release: s.release}
}

func (t *Track) stopRetry() {
	if t.retry != nil {
		t.retry.Stop()
		t.retry = nil
	}
}

// WritePackets implements fanout.Sink.
func (s *source) WritePackets(out *udpio.Batch, burst []fanout.Packet) {
	t := s.track
	t.mu.Lock()
	if t.measured {
		t.now = time.Now()
	}
	var f freed
	wish, began := false, false
	for i := range burst {
		p := &burst[i]
		if s == t.cur && t.run.jumps(p) {
			t.cur = nil
			if t.next == nil {
				t.next = s
				s.since, s.wished = p.At, time.Time{}
			} else {
				f.drop(s)
			}
		}
		if s != t.cur {
			if s != t.next {
				t.drops.Add(drop.Stale, len(burst)-i)
				break
			}
			if !t.begins(s, p) {
				wish = wish || s.wishes(p.At)
				continue
			}
			if !t.begin(out, s, p, &f) {
				break // the rest of the burst would begin in the middle
			}
			began = true
			continue
		}
		t.send(out, p)
	}
	var report func()
	if began {
		report = t.reportNow(out, s)
	}
	t.mu.Unlock()
	f.run()
	if report != nil {
		report()
	}
	if wish {
		s.stream.RequestKeyframe()
	}
}

// wishes reports whether it is time to ask for the key frame again.
func (s *source) wishes(now time.Time) bool {
	if !s.stream.Video() || now.Sub(s.wished) < wishAgain {
		return false
	}
	s.wished = now
	return true
}

// begins reports whether p can be the first packet that the viewer gets of s, and counts it if not.
func (t *Track) begins(s *source, p *fanout.Packet) bool {
	switch {
	case !s.fits:
		t.drops.Add(drop.NoFormat, 1)
		return false
	case !s.stream.Video(), p.Desc.Keyframe:
		return true
	case p.At.Sub(s.since) >= blindAfter && !s.stream.HasKeyframes():
		return true
	}
	t.drops.Add(drop.Waiting, 1)
	return false
}

// begin makes s, the next source, the present one and sends p as its first packet. If the transport is not up, nothing has changed
// but that s will be attached again shortly, from the cached key frame.
func (t *Track) begin(out *udpio.Batch, s *source, p *fanout.Packet, f *freed) bool {
	before := t.run
	t.run = t.follow(s, p)
	if t.send(out, p) {
		f.drop(t.cur)
		t.cur, t.next = s, nil
		if t.cfg.Began != nil {
			t.cfg.Began(time.Since(s.since))
		}
		return true
	}
	t.run = before
	t.again(s)
	if t.retry == nil {
		t.retry = time.AfterFunc(retryAfter, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.retry = nil
			t.attach()
		})
	}
	return false
}

// WriteReport implements fanout.Sink.
func (s *source) WriteReport(out *udpio.Batch, r fanout.SenderReport) {
	t := s.track
	t.mu.Lock()
	report := t.reportFor(out, s, r)
	t.mu.Unlock()
	if report != nil {
		report()
	}
}
