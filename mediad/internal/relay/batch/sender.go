package batch

import (
	"sync"
	"sync/atomic"
	"time"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/udpio"
)

// How long a packet may wait for others to share its message.
const (
	videoWait = 5 * time.Millisecond
	audioWait = 10 * time.Millisecond
)

// Sender puts one stream on the bus; it implements fanout.Sink. It is made when the first other node wants the stream and closed when
// the last one does not any more. It owns a timer, which runs only while something waits.
//
// Video is sent when a frame is complete, a sound packet at once if none went in the last audioWait; else what has gathered goes
// when the wait is over.
type Sender struct {
	out     *Outbox
	subject string
	wait    time.Duration
	video   bool
	until   atomic.Int64 // when the last lease ends, in Unix nanoseconds

	mu      sync.Mutex
	pending *message // nil: nothing waits
	number  uint32
	sent    time.Time // when the last message went
	timer   *time.Timer
	closed  bool
}

// NewSender returns a sender for a stream of video or sound. It sends nothing before Lease.
func NewSender(out *Outbox, subject string, video bool) *Sender {
	s := &Sender{out: out, subject: subject, video: video, wait: audioWait}
	if video {
		s.wait = videoWait
	}
	s.timer = time.AfterFunc(time.Hour, s.expire)
	s.timer.Stop()
	return s
}

// Lease allows sending until the given time, told by the wall clock, which also runs while a machine is suspended.
func (s *Sender) Lease(until time.Time) { s.until.Store(until.UnixNano()) }

// WritePackets implements fanout.Sink.
func (s *Sender) WritePackets(_ *udpio.Batch, burst []fanout.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	complete := false
	for i := range burst {
		p := &burst[i]
		m := s.room(packetHeader + 2 + len(p.Payload))
		m.data = AppendPacket(m.data, p)
		m.packets++
		complete = complete || p.Marker
	}
	now := burst[len(burst)-1].At
	if s.video && complete || !s.video && now.Sub(s.sent) >= s.wait {
		s.flush(now)
	}
}

// WriteReport implements fanout.Sink. A report waits for the next packets.
func (s *Sender) WriteReport(_ *udpio.Batch, r fanout.SenderReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	m := s.room(reportSize)
	m.data = appendReport(m.data, r)
}

// room returns the pending message with space for so many bytes.
func (s *Sender) room(size int) *message {
	if s.pending != nil && (len(s.pending.data)+size > maxMessage || s.pending.packets == MaxRecords/2) {
		s.flush(time.Now())
	}
	if s.pending == nil {
		s.pending = s.out.blank(s.subject)
		s.pending.data = AppendHeader(s.pending.data, s.number)
		s.number++
		s.timer.Reset(s.wait)
	}
	return s.pending
}

// expire ends the wait.
func (s *Sender) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush(time.Now())
}

// flush sends what waits. A process that stood still wakes up here with leases long over: what it holds is for nobody, and the
// streams may have gone to another node meanwhile.
func (s *Sender) flush(now time.Time) {
	m := s.pending
	if m == nil || s.closed {
		return
	}
	s.timer.Stop()
	s.pending, s.sent = nil, now
	if time.Now().UnixNano() > s.until.Load() {
		s.out.count.Drop(LeaseExpired, m.packets)
		s.out.recycle(m)
		return
	}
	s.out.push(m)
}

// Close drops what waits and stops the timer. What is written afterwards is ignored.
func (s *Sender) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.pending = true, nil
	s.timer.Stop()
}
