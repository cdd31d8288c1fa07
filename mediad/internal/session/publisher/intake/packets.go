package intake

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/headerext"
)

// This file reads what the publisher sends: a goroutine per layer for packets and one for reports, until the connection is closed.

const (
	maxPacket    = 1500 // bytes of an RTP or RTCP packet; nothing larger passes an Ethernet path unfragmented
	endOfFrame   = 0x80 // the marker bit, in the second byte (RFC 3550 section 5.1)
	maxReadFails = 1000 // in a row, of a track: packets of payload types that nobody negotiated, and other noise
)

// Accept is called by pion, in a goroutine of its own, when the first packet of a remote track has come; it reads the track
// until the connection closes.
func (in *Intake) Accept(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	i, ok := in.begin(track, receiver)
	if !ok {
		return
	}
	defer in.readers.Done()
	in.readers.Go(func() { in.readReports(i, receiver, track.RID()) })
	ids := headerext.Of(receiver.GetParameters().HeaderExtensions)
	buf := make([]byte, maxPacket)
	var stream *fanout.Stream
	payloadType, opened, fails, layered := -1, int64(0), 0, track.RID() != ""
	for fails < maxReadFails {
		n, _, err := track.Read(buf)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			return
		case err != nil || n < 2:
			fails++ // not a packet of this track's; the next one may be
			if s := in.stream(i, track); s != nil {
				s.Drop(unreadable(err))
			}
			continue
		}
		fails = 0
		if pt := int(buf[1] & 0x7f); pt != payloadType || opened != i.opened.Load() {
			payloadType, stream = pt, in.stream(i, track)
			opened = i.opened.Load()
		}
		if stream == nil {
			continue
		}
		_ = stream.WriteRTP(buf[:n], ids) // a malformed packet is counted by the stream
		if layered && buf[1]&endOfFrame != 0 {
			in.frame(i, track.RID(), time.Now())
		}
	}
	in.cfg.Log.Warn("track given up: nothing that arrives can be read", "track", i.track.ID)
}

// unreadable says why a packet could not be read.
func unreadable(err error) drop.Reason {
	switch {
	case errors.Is(err, io.ErrShortBuffer):
		return drop.Oversized
	case errors.Is(err, webrtc.ErrCodecNotFound):
		return drop.PayloadType
	default:
		return drop.Malformed
	}
}

// begin finds the input of a remote track and counts its reader. pion announces a track again for each SSRC that claims its
// section and layer: the first reader goes on.
func (in *Intake) begin(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) (*input, bool) {
	mid := ""
	for _, t := range in.cfg.PC.GetTransceivers() {
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
func (in *Intake) stream(i *input, track *webrtc.TrackRemote) *fanout.Stream {
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
			in.cfg.Log.Error("track not taken in", "track", i.track.ID, "err", err)
			return nil
		}
		select {
		case in.changed <- struct{}{}:
		default:
		}
	}
	if s := i.streams[track.RID()]; s != nil {
		return s.Stream
	}
	return nil
}

// readReports passes the publisher's sender reports on and keeps pion's RTCP buffers empty. It ends with the receiver.
func (in *Intake) readReports(i *input, receiver *webrtc.RTPReceiver, rid string) {
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

func (in *Intake) report(i *input, rid string, sr fanout.SenderReport) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := i.streams[rid]; s != nil && !in.closed {
		s.WriteReport(sr)
	}
}
