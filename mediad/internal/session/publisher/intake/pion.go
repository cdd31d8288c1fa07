package intake

import (
	"errors"
	"io"
	"sync"

	"github.com/pion/webrtc/v4"
)

// This file reads from pion what it has decrypted, of publishers whose keys the node does not learn: those for whom it is the DTLS client.

const (
	maxPacket    = 1600 // bytes of an RTP or RTCP packet
	maxReadFails = 1000 // in a row: packets of payload types that nobody negotiated, and other noise
)

// Accept is called by pion, in a goroutine of its own, when the first packet of a remote track has come; it reads the track until the connection
// closes.
func (in *Intake) Accept(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return
	}
	in.tellers.Add(1)
	in.mu.Unlock()
	defer in.tellers.Done()
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		in.read(func(b []byte) (n int, err error) {
			if track.RID() == "" {
				n, _, err = receiver.Read(b)
			} else {
				n, _, err = receiver.ReadSimulcast(b, track.RID())
			}
			return n, err
		}, in.RTCP)
	})
	repaired := false // pion has taken it out of a packet of RTX
	in.read(func(b []byte) (n int, err error) {
		n, a, err := track.Read(b)
		repaired = a.Get(webrtc.AttributeRtxSsrc) != nil
		return n, err
	}, func(packet []byte) {
		in.take(packet, repaired)
		in.Done()
	})
}

// read hands on what comes until there is an end.
func (in *Intake) read(from func([]byte) (int, error), to func([]byte)) {
	buf := make([]byte, maxPacket)
	for fails := 0; fails < maxReadFails; fails++ {
		n, err := from(buf)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
			return
		case err == nil:
			fails = 0
			to(buf[:n])
		}
	}
	in.cfg.Log.Warn("a track is given up: nothing that arrives can be read")
}
