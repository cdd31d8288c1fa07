// Package secure is a viewer's SRTP session: it encrypts packets straight into the batch that sends them, and decrypts what the viewer says
// of them.
//
//	down.Track ─ WriteRTP → Sender (one viewer: SRTP, transport-wide numbers) → udpio.Batch
//	           ←  HandleRTCP ─ receiver (SRTCP)                               ← udpio.Path
//
// A Sender belongs to a connection. It is the only one that sends RTP there: two that encrypt with one key would repeat nonces.
package secure

import (
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/congestion"
	"weever/mediad/internal/udpio"
)

// maxTag is the most that encryption adds to a packet, in bytes.
const maxTag = 16

// srtcpIndex is what it adds to RTCP besides, in bytes (RFC 3711 section 3.4).
const srtcpIndex = 4

// maxHeader is about how long a packet's header is, in bytes; for the account of what was sent.
const maxHeader = 24

// Sender is one viewer's way out. Its methods may be called by any goroutine; its mutex is held for one packet.
type Sender struct {
	path *udpio.Path
	in   receiver
	rate *congestion.Estimator

	mu   sync.Mutex
	srtp *srtp.Context // nil until Open
	ext  [2]byte       // backs the header's extension
	buf  []byte        // of a packet that goes out alone; made on first use
}

// New returns a Sender that swallows everything until Open.
// What the viewer reports is handled by the writers, which may be nil as for fanout.Writers.Task.
func New(path *udpio.Path, writers *fanout.Writers) *Sender {
	s := &Sender{path: path, rate: congestion.New(0)}
	s.in.path, s.in.rate = path, s.rate
	s.in.task = writers.Task(s.in.work)
	return s
}

// Rate is what the viewer's reports on transport-wide numbers say of its link.
func (s *Sender) Rate() *congestion.Estimator { return s.rate }

// Open says that the peer's identity is verified, and what to encrypt and decrypt with. From now on the viewer's RTCP comes here.
func (s *Sender) Open(cfg *srtp.Config) error {
	ctx, err := srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile)
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	if err := s.in.open(cfg); err != nil {
		return err
	}
	s.mu.Lock()
	s.srtp = ctx
	s.mu.Unlock()
	s.path.InterceptFeedback(&s.in)
	return nil
}

// Close ends what Open began: nothing is encrypted or decrypted any more.
func (s *Sender) Close() {
	s.path.Release()
	s.in.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.srtp = nil
}

// Extras is what a packet gets on its way besides what its track wrote.
type Extras struct {
	Padding uint8     // bytes behind the payload (RFC 3550 section 5.1); 0: none
	Wide    uint8     // id of the header extension with the transport-wide sequence number; 0: none
	At      time.Time // now, where Wide is not 0
}

// WriteRTP puts one packet into out, or sends it at once if out is nil. Header and payload are borrowed; the header's padding bit and
// extensions are changed. It returns the size of the encrypted packet, 0 without error before Open and after Close. The caller flushes out.
func (s *Sender) WriteRTP(out *udpio.Batch, h *rtp.Header, payload []byte, extras Extras) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srtp == nil {
		return 0, nil
	}
	if extras.Wide != 0 {
		wide := s.rate.Sent(len(payload)+int(extras.Padding)+maxHeader+maxTag, extras.At)
		s.ext[0], s.ext[1] = byte(wide>>8), byte(wide)
		if err := h.SetExtension(extras.Wide, s.ext[:]); err != nil {
			return 0, fmt.Errorf("secure: %w", err)
		}
	}
	h.Padding = extras.Padding > 0
	n := h.MarshalSize() + len(payload) + int(extras.Padding)
	room := s.room(out, n+maxTag)
	k, err := h.MarshalTo(room)
	if err != nil {
		return 0, fmt.Errorf("secure: %w", err)
	}
	k += copy(room[k:], payload)
	if extras.Padding > 0 {
		clear(room[k:n])
		room[n-1] = extras.Padding
	}
	packet, err := s.srtp.EncryptRTP(room[:0], room[:n], h)
	if err != nil {
		return 0, fmt.Errorf("secure: %w", err)
	}
	return len(packet), s.commit(out, packet)
}

// WriteReport puts a sender report into out, or sends it at once if out is nil; nothing before Open and after Close. The caller flushes out.
//
// pion's own way sends RTCP, too, but none of the report's SSRC: two that encrypt with one key would repeat nonces there.
func (s *Sender) WriteReport(out *udpio.Batch, r *rtcp.SenderReport) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srtp == nil {
		return nil
	}
	plain, err := r.Marshal()
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	packet, err := s.srtp.EncryptRTCP(s.room(out, len(plain)+maxTag+srtcpIndex)[:0], plain, nil)
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	return s.commit(out, packet)
}

// commit sends what has been encrypted in the room of out, or of the sender's own.
func (s *Sender) commit(out *udpio.Batch, packet []byte) error {
	if out != nil {
		return out.Commit(len(packet), s.path)
	}
	_, err := s.path.Write(packet)
	return err //nolint:wrapcheck // the socket's own
}

func (s *Sender) room(out *udpio.Batch, n int) []byte {
	if out != nil {
		return out.Room(n)
	}
	if len(s.buf) < n {
		s.buf = make([]byte, max(n, 1600))
	}
	return s.buf
}
