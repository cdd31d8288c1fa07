// Package inbound is a publisher's SRTP session: it decrypts what the publisher sends, in the goroutine that reads the socket and in the
// buffer that the kernel has filled.
//
//	udpio.Path → Receiver (SRTP, SRTCP) → intake.Intake
//
// pion would carry each packet through four goroutines, with a copy and a wake-up each; a burst of one publisher is then a queue in front of
// everybody else's packets. Package peer makes a Receiver for each publisher whose keys it can learn.
package inbound

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"weever/mediad/internal/udpio"
	"weever/mediad/internal/udpio/peek"
)

const (
	replayWindow = 1024 // packets that may overtake one (RFC 3711 section 3.3.2): a retransmission without RTX comes late
	maxSources   = 256  // SSRCs of a publisher, as the state of each is kept
	maxPacket    = 1600 // bytes
	minPacket    = 12   // of SRTP, and of SRTCP with anything in it
)

// Taker takes what was decrypted. It is called by one goroutine at a time, which also reads for everybody else: it must not block.
type Taker interface {
	// RTP takes a packet, which is borrowed until Done returns, and reports whether it is of a known track.
	RTP(packet []byte) bool
	// RTCP takes a compound packet; it is borrowed until RTCP returns.
	RTCP(packet []byte)
	// Done says that those were all that have come together.
	Done()
}

// Receiver is one publisher's way in. Its methods may be called by any goroutine.
type Receiver struct {
	path *udpio.Path

	mu      sync.Mutex
	to      Taker
	srtp    *srtp.Context // nil unless open
	header  rtp.Header
	sources map[uint32]struct{}
}

// New returns a Receiver that takes nothing until Open.
func New(path *udpio.Path) *Receiver {
	return &Receiver{path: path, sources: map[uint32]struct{}{}}
}

// Deliver says who gets what comes. Call it before Open.
func (r *Receiver) Deliver(to Taker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// Open takes the publisher's packets in pion's place. keys are those of a connection whose peer has been verified.
func (r *Receiver) Open(keys *srtp.Config) error {
	ctx, err := srtp.CreateContext(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile,
		srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return fmt.Errorf("inbound: %w", err)
	}
	r.mu.Lock()
	r.srtp = ctx
	r.mu.Unlock()
	r.path.InterceptMedia(r)
	return nil
}

// Close ends what Open began: nothing is handed on any more.
func (r *Receiver) Close() {
	r.path.Release()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.srtp = nil
}

// Take decrypts a packet and hands it on. It implements udpio.Taker.
func (r *Receiver) Take(packet []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	why, ok := udpio.MediaInvalid, false
	feedback := peek.IsFeedback(packet)
	if feedback {
		why = udpio.FeedbackInvalid
	}
	switch {
	case r.srtp == nil || r.to == nil || len(packet) < minPacket || len(packet) > maxPacket:
	case feedback:
		why, ok = r.feedback(packet)
	default:
		why, ok = r.media(packet)
	}
	if !ok {
		r.path.Refuse(why)
	}
}

// Taken implements udpio.Taker.
func (r *Receiver) Taken() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to != nil {
		r.to.Done()
	}
}

func (r *Receiver) media(packet []byte) (udpio.Drop, bool) {
	ssrc := binary.BigEndian.Uint32(packet[8:])
	_, known := r.sources[ssrc]
	if !known && len(r.sources) >= maxSources {
		return udpio.MediaSenders, false
	}
	plain, err := r.srtp.DecryptRTP(packet[:0], packet, &r.header)
	if err != nil {
		return udpio.MediaInvalid, false
	}
	if !known {
		r.sources[ssrc] = struct{}{}
	}
	return udpio.MediaUnknown, r.to.RTP(plain)
}

func (r *Receiver) feedback(packet []byte) (udpio.Drop, bool) {
	ssrc := binary.BigEndian.Uint32(packet[4:])
	_, known := r.sources[ssrc]
	if !known && len(r.sources) >= maxSources {
		return udpio.FeedbackSenders, false
	}
	plain, err := r.srtp.DecryptRTCP(packet[:0], packet, nil)
	if err != nil {
		return udpio.FeedbackInvalid, false
	}
	if !known {
		r.sources[ssrc] = struct{}{}
	}
	r.to.RTCP(plain)
	return 0, true
}
