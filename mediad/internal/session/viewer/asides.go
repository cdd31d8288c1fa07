package viewer

import (
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
)

// This file is what a viewer's client can do without: what others say, and who is heard. It waits while much waits for the client
// already, and what is said is lost when too much of it does.

// talkNews gives what others say, and what wakes Run when it may be told again; nil for what is not to be waited for.
func (v *Viewer) talkNews() (said <-chan control.Prepared, drained <-chan struct{}) {
	if v.ctl != nil && v.ctl.Behind() {
		return nil, v.ctl.Drained()
	}
	return v.seat.Heard(), nil
}

// tellSpeakers tells the client who is heard, of those whose sound it is sent, if that has changed.
func (v *Viewer) tellSpeakers() {
	if v.ctl == nil || v.ctl.Behind() {
		return
	}
	for _, l := range v.legs {
		if l.down.Kind() == webrtc.RTPCodecTypeAudio {
			v.heard.Add(l.key.Pub, l.source.Level())
		}
	}
	if m, news := v.heard.Turn(); news {
		v.send(m)
	}
}
