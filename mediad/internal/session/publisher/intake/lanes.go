package intake

import (
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/session/publisher/receipts"
)

// This file finds out whose the packets of an SSRC are (RFC 9143 section 9.2): by the section and the layer that they name themselves, by what
// the offer declares, or by a payload type that is of one section only.

// maxLanes is how many SSRCs of a publisher have an account. Nobody who behaves comes near.
const maxLanes = 256

// lane is one SSRC of the publisher.
type lane struct {
	ssrc    uint32
	input   *input
	rid     string // layer; "" without simulcast
	account *receipts.Stream
	repeats *lane // whose packets it sends again; nil: it sends media

	// Of media.
	payloadType uint8
	opened      int // input.opened when the stream was looked up
	known       bool
	stream      *fanout.Stream // nil: the track was removed
}

// laneLocked returns the lane of the packet that was parsed last, which it makes if the packet says enough; or nil. Of a packet that could not
// be parsed, whole is false: its lane is there already, or there is none.
func (in *Intake) laneLocked(ssrc uint32, whole bool) *lane {
	l := in.lanes[ssrc]
	if !whole || l != nil && !l.input.off {
		return l
	}
	if l == nil && len(in.lanes) >= maxLanes {
		return nil
	}
	i, media := in.ownerLocked(ssrc, in.header.PayloadType)
	if i == nil || i.off {
		return nil
	}
	l = &lane{ssrc: ssrc, input: i, rid: string(in.header.GetExtension(in.ids.Rid)), opened: -1}
	if _, again := i.formats.Repeats[in.header.PayloadType]; again {
		if l.repeats = in.repeatedLocked(i, media); l.repeats == nil {
			return nil // for now
		}
		l.rid = l.repeats.rid
	}
	switch {
	case len(i.layers) == 0:
		l.rid = ""
	case i.streams[l.rid] == nil:
		return nil
	}
	l.account = in.book.Stream(ssrc, i.track.Clock, l.repeats == nil && i.repeats)
	in.lanes[ssrc] = l
	return l
}

// ownerLocked finds the section of an SSRC and, if it was declared to send another again, that one.
func (in *Intake) ownerLocked(ssrc uint32, payloadType uint8) (owner *input, media uint32) {
	if mid := in.header.GetExtension(in.ids.Mid); in.ids.Mid != 0 && len(mid) > 0 {
		n := slices.IndexFunc(in.inputs, func(i *input) bool { return i.mid == string(mid) })
		if n < 0 {
			return nil, 0
		}
		return in.inputs[n], in.inputs[n].sources[ssrc]
	}
	for _, i := range in.inputs {
		if media, declared := i.sources[ssrc]; declared && !i.off {
			return i, media
		}
	}
	for _, i := range in.inputs {
		switch {
		case i.off || !i.takes(payloadType):
		case owner != nil:
			return nil, 0 // it could be of either
		default:
			owner = i
		}
	}
	return owner, 0
}

// repeatedLocked finds the lane of which another sends packets again: the one declared, the layer's, or the only one.
func (in *Intake) repeatedLocked(i *input, media uint32) *lane {
	if l := in.lanes[media]; l != nil && l.input == i && l.repeats == nil {
		return l
	}
	rid := ""
	if len(i.layers) > 0 {
		rid = string(in.header.GetExtension(in.ids.Repaired))
	}
	if r := i.remotes[rid]; r != nil {
		if l := in.lanes[r.ssrc.Load()]; l != nil && l.input == i && l.repeats == nil {
			return l
		}
	}
	return nil
}

// takes reports whether the section has a payload type.
func (i *input) takes(payloadType uint8) bool {
	_, again := i.formats.Repeats[payloadType]
	return again || i.codec(payloadType) >= 0
}

// codec is the place of a payload type among the section's codecs, or -1.
func (i *input) codec(payloadType uint8) int {
	return slices.IndexFunc(i.formats.Codecs, func(c webrtc.RTPCodecParameters) bool { return uint8(c.PayloadType) == payloadType })
}

// reopenLocked gives a lane the stream for what it sends from now on, with that codec; none while the track is removed. Of a payload type that
// was not negotiated nothing is known.
func (in *Intake) reopenLocked(l *lane, payloadType uint8) {
	i := l.input
	l.payloadType = payloadType
	n := i.codec(payloadType)
	l.known = n >= 0
	if l.known && !i.off {
		l.known = in.recodeLocked(i, i.formats.Codecs[n])
	}
	if l.known {
		i.remotes[l.rid].ssrc.Store(l.ssrc)
	}
	l.opened, l.stream = i.opened, nil
	if s := i.streams[l.rid]; s != nil && !i.off {
		l.stream = s.Stream
	}
}

// recodeLocked gives a track another codec, if it is another, and reports whether the track has that codec now.
func (in *Intake) recodeLocked(i *input, c webrtc.RTPCodecParameters) bool {
	if strings.EqualFold(c.MimeType, i.track.Codec) && c.SDPFmtpLine == i.track.Fmtp {
		return true
	}
	if i.recoded == maxRecodings {
		return false
	}
	i.recoded++
	i.track.Codec, i.track.Fmtp, i.track.Clock, i.track.Chans = c.MimeType, c.SDPFmtpLine, c.ClockRate, c.Channels
	in.dirty = true
	if err := in.openLocked(i); err != nil {
		in.cfg.Log.Error("track not taken in", "track", i.track.ID, "err", err)
	}
	in.changedLocked()
	return true
}
