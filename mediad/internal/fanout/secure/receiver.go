package secure

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/udpio"
)

// This file takes what viewers say of what they get, and without pion, which would wake four goroutines for each packet. The goroutine that reads
// the socket, for everybody, only decrypts; a writer does what the viewer asks for.

const (
	replayWindow = 64      // packets that may overtake one (RFC 3711 section 3.3.2)
	maxSenders   = 256     // SSRCs that a viewer may report from, as the state of each is kept; some use one for each stream
	maxReport    = 1500    // bytes of a packet
	maxWaiting   = 8 << 10 // bytes of packets that wait for the writer
)

// Listener takes RTCP packets, not compound, that are about its stream. b is borrowed. What is to be sent in answer goes into out, which may be
// nil. It must not block.
type Listener interface {
	Feedback(out *udpio.Batch, b []byte)
}

// receiver is the way back of one viewer.
type receiver struct {
	path *udpio.Path
	rate *congestion.Estimator
	task *fanout.Task

	// Of the task.
	reading []byte
	told    []Listener

	mu        sync.Mutex
	srtp      *srtp.Context // nil until open
	senders   []uint32
	plain     []byte
	waiting   []byte // decrypted packets, each behind its length in two bytes
	posted    bool
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

func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.srtp = nil
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

// Take decrypts an SRTCP packet. It implements udpio.Taker.
func (r *receiver) Take(packet []byte) {
	r.mu.Lock()
	why, ok := r.store(packet)
	r.mu.Unlock()
	if !ok {
		r.path.Refuse(why)
	}
}

// Taken leaves what was decrypted to the task. It implements udpio.Taker.
func (r *receiver) Taken() {
	r.mu.Lock()
	post := len(r.waiting) > 0 && !r.posted
	r.posted = r.posted || post
	r.mu.Unlock()
	if post {
		r.task.Post()
	}
}

// store decrypts a packet; the caller holds mu.
func (r *receiver) store(packet []byte) (why udpio.Drop, ok bool) {
	if len(packet) < 8 || len(packet) > maxReport || r.srtp == nil {
		return udpio.FeedbackInvalid, false
	}
	if len(r.waiting)+2+len(packet) > maxWaiting {
		return udpio.FeedbackFull, false
	}
	from := binary.BigEndian.Uint32(packet[4:])
	known := slices.Contains(r.senders, from)
	if !known && len(r.senders) >= maxSenders {
		return udpio.FeedbackSenders, false
	}
	plain, err := r.srtp.DecryptRTCP(r.plain[:0], packet, nil)
	if err != nil {
		return udpio.FeedbackInvalid, false
	}
	r.plain = plain
	if !known {
		r.senders = append(r.senders, from)
	}
	r.waiting = binary.BigEndian.AppendUint16(r.waiting, uint16(len(plain))) //nolint:gosec // at most maxReport
	r.waiting = append(r.waiting, plain...)
	return 0, true
}

// work is the task: it reads what waits.
func (r *receiver) work(out *udpio.Batch) {
	r.mu.Lock()
	r.reading, r.waiting = r.waiting, r.reading[:0]
	r.posted = false
	r.mu.Unlock()
	for rest := r.reading; len(rest) > 0; {
		n := 2 + int(binary.BigEndian.Uint16(rest))
		r.read(out, rest[2:n])
		rest = rest[n:]
	}
}

// read takes a compound packet apart.
func (r *receiver) read(out *udpio.Batch, b []byte) {
	for len(b) >= 4 {
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if size > len(b) {
			return
		}
		r.tell(out, b[:size])
		b = b[size:]
	}
}

// tell gives one packet to whom it concerns: by the sender of the media (RFC 4585 section 6.1), by the entries of a full intra request (RFC
// 5104 section 4.3.1), by the blocks of a report (RFC 3550 section 6.4.2).
func (r *receiver) tell(out *udpio.Batch, b []byte) {
	kind, count := rtcp.PacketType(b[1]), b[0]&0x1f
	first, step := 8, len(b)
	switch {
	case kind == rtcp.TypeReceiverReport:
		step = 24
	case kind == rtcp.TypeTransportSpecificFeedback && count == rtcp.FormatTCC:
		_ = r.rate.Feedback(b, time.Now()) // it counts what is malformed
		return
	case kind == rtcp.TypePayloadSpecificFeedback && count == rtcp.FormatFIR:
		first, step = 12, 8
	case kind == rtcp.TypeTransportSpecificFeedback, kind == rtcp.TypePayloadSpecificFeedback:
	default:
		return
	}
	r.mu.Lock()
	r.told = r.told[:0]
	for at := first; at+4 <= len(b); at += step {
		if l := r.listeners[binary.BigEndian.Uint32(b[at:])]; l != nil && !slices.Contains(r.told, l) {
			r.told = append(r.told, l)
		}
	}
	r.mu.Unlock()
	for _, l := range r.told {
		l.Feedback(out, b)
	}
	clear(r.told)
}
