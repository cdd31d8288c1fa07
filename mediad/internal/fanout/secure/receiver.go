package secure

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"weever/mediad/internal/fanout/congestion"
)

// This file takes what viewers say of what they get, where it is read from the network, and without pion, which would wake four
// goroutines for each packet.

// replayWindow is how many packets may overtake one (RFC 3711 section 3.3.2).
const replayWindow = 64

// maxSenders is how many SSRCs a viewer may report from: the state of each is kept. Browsers use one or two.
const maxSenders = 16

// Listener takes RTCP packets, not compound, that are about its stream. b is borrowed. It must not block.
type Listener interface{ HandleRTCP(b []byte) }

// receiver is the way back of one viewer. The socket's reader calls take; that is one goroutine, or two for the moment in which a viewer changes
// from one of the node's sockets to another.
type receiver struct {
	invalid atomic.Uint64

	mu        sync.Mutex
	srtp      *srtp.Context
	senders   []uint32
	buf       []byte
	listeners map[uint32]Listener // by the SSRC that they send
}

func (r *receiver) open(cfg *srtp.Config) error {
	ctx, err := srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, cfg.Profile, srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.srtp = ctx
	return nil
}

// Listen has l told what the viewer says of a stream, until Ignore.
func (s *Sender) Listen(ssrc uint32, l Listener) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if s.in.listeners == nil {
		s.in.listeners = map[uint32]Listener{}
	}
	s.in.listeners[ssrc] = l
}

// Ignore ends Listen. A call that is under way may still end.
func (s *Sender) Ignore(ssrc uint32) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	delete(s.in.listeners, ssrc)
}

// take decrypts an SRTCP packet and tells the listeners, and of the whole connection the estimator.
func (r *receiver) take(packet []byte, rate *congestion.Estimator) {
	plain, ok := r.decrypt(packet)
	if !ok {
		r.invalid.Add(1)
		return
	}
	for rest := plain; len(rest) >= 4; {
		size := 4 * (int(binary.BigEndian.Uint16(rest[2:])) + 1)
		if size > len(rest) {
			break
		}
		if rtcp.PacketType(rest[1]) == rtcp.TypeTransportSpecificFeedback && rest[0]&0x1f == rtcp.FormatTCC {
			_ = rate.Feedback(rest[:size], time.Now()) // it counts what is malformed
		} else {
			r.tell(rest[:size])
		}
		rest = rest[size:]
	}
	r.mu.Lock()
	r.buf = plain[:0]
	r.mu.Unlock()
}

// decrypt returns what the viewer wrote, in the receiver's buffer, which is the caller's until it puts it back.
func (r *receiver) decrypt(packet []byte) (plain []byte, ok bool) {
	if len(packet) < 8 {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	from := binary.BigEndian.Uint32(packet[4:])
	known := slices.Contains(r.senders, from)
	if r.srtp == nil || !known && len(r.senders) >= maxSenders {
		return nil, false
	}
	buf := r.buf
	r.buf = nil
	plain, err := r.srtp.DecryptRTCP(buf, packet, nil)
	if err != nil {
		r.buf = buf
		return nil, false
	}
	if !known {
		r.senders = append(r.senders, from)
	}
	return plain, true
}

// tell gives one packet to whom it concerns: by the sender of the media (RFC 4585 section 6.1), by the entries of a full intra request (RFC
// 5104 section 4.3.1), by the blocks of a report (RFC 3550 section 6.4).
func (r *receiver) tell(b []byte) {
	kind, count := rtcp.PacketType(b[1]), b[0]&0x1f
	switch kind {
	case rtcp.TypeReceiverReport, rtcp.TypeSenderReport:
		at := 8
		if kind == rtcp.TypeSenderReport {
			at = 28
		}
		for range count {
			if at+24 > len(b) {
				return
			}
			r.pass(binary.BigEndian.Uint32(b[at:]), b)
			at += 24
		}
	case rtcp.TypeTransportSpecificFeedback, rtcp.TypePayloadSpecificFeedback:
		if len(b) < 12 {
			return
		}
		if kind == rtcp.TypePayloadSpecificFeedback && count == rtcp.FormatFIR {
			for at := 12; at+8 <= len(b); at += 8 {
				r.pass(binary.BigEndian.Uint32(b[at:]), b)
			}
			return
		}
		r.pass(binary.BigEndian.Uint32(b[8:]), b)
	}
}

func (r *receiver) pass(ssrc uint32, b []byte) {
	r.mu.Lock()
	l := r.listeners[ssrc]
	r.mu.Unlock()
	if l != nil {
		l.HandleRTCP(b)
	}
}
