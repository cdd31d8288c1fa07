// Package receipts writes what a publisher is told of the packets that it has sent: how many came (RFC 3550 section 6.4.2), which are missing
// and please to be sent again (RFC 4585 section 6.2.1), and when each arrived, by its transport-wide number
// (draft-holmer-rmcat-transport-wide-cc-extensions-01), from which the publisher learns how much its link carries.
//
// Package intake has one Book for each publisher and guards it with its lock. Nothing here waits, sends or starts anything: Due says when Write
// is to be called. A publisher that sends nothing is due nothing.
package receipts

import (
	"slices"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

const (
	reportEvery = time.Second
	wideEvery   = 100 * time.Millisecond
	maxBlocks   = 31 // of one report (RFC 3550 section 6.4.2)

	maxWide     = 256     // packets in one transport-wide report, which has to fit into a datagram
	maxWideStep = 1 << 12 // a larger one is a new beginning: the Recorder keeps a place for every number between
)

// Book is one publisher's.
type Book struct {
	ssrc    uint32 // ours
	streams []*Stream
	missing int // packets, of all streams

	wide      *twcc.Recorder // nil: nothing has come
	wideBegan time.Time      // when it was made
	wideLast  uint16         // the number that was taken in last
	origin    time.Time      // of the times that are told: the clock on the wall may be set

	// When something is to be written; zero: nothing is.
	reportAt, wideAt, missingAt time.Time
}

// New makes the Book of a connection on which the node goes by this SSRC.
func New(ssrc uint32) *Book { return &Book{ssrc: ssrc} }

// Stream begins the account of an SSRC, in place of an earlier one. repeats says that the publisher sends packets again when it is asked to.
func (b *Book) Stream(ssrc, clock uint32, repeats bool) *Stream {
	b.streams = slices.DeleteFunc(b.streams, func(s *Stream) bool {
		if s.ssrc == ssrc {
			s.keep(nil)
		}
		return s.ssrc == ssrc
	})
	s := &Stream{book: b, ssrc: ssrc, clock: float64(clock), repeats: repeats}
	b.streams = append(b.streams, s)
	return s
}

// Arrived takes in that a packet of any stream with this transport-wide number has come.
func (b *Book) Arrived(ssrc uint32, number uint16, now time.Time) {
	step := int16(number - b.wideLast) //nolint:gosec // modular
	if b.wide == nil || step > maxWideStep || step < -maxWideStep {
		if b.wide != nil && now.Sub(b.wideBegan) < wideEvery {
			return
		}
		b.wide, b.wideBegan = twcc.NewRecorder(b.ssrc), now
	}
	if b.origin.IsZero() {
		b.origin = now
	}
	b.wideLast = number
	b.wide.Record(ssrc, number, now.Sub(b.origin).Microseconds())
	sooner(&b.wideAt, now.Add(wideEvery))
	if b.wide.PacketsHeld() >= maxWide {
		sooner(&b.wideAt, now)
	}
}

// Due is when Write is to be called next; zero: not before the next packet.
func (b *Book) Due() (at time.Time) {
	for _, t := range [...]time.Time{b.reportAt, b.wideAt, b.missingAt} {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// Write returns what is due, a report first as RFC 3550 section 6.1 wants it of a compound packet.
func (b *Book) Write(now time.Time) (out []rtcp.Packet) {
	is := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if is(b.reportAt) {
		b.reportAt = time.Time{}
		out = b.reports(now)
	}
	if is(b.missingAt) {
		b.missingAt = time.Time{}
		for _, s := range b.streams {
			out = append(out, s.ask(now)...)
		}
	}
	if is(b.wideAt) {
		b.wideAt = time.Time{}
		if b.wide != nil {
			out = append(out, b.wide.BuildFeedbackPacket()...)
		}
	}
	return out
}

// reports is a block for each stream of which something has come since the last.
func (b *Book) reports(now time.Time) (out []rtcp.Packet) {
	var r *rtcp.ReceiverReport
	for _, s := range b.streams {
		if !s.heard {
			continue
		}
		if r == nil || len(r.Reports) == maxBlocks {
			r = &rtcp.ReceiverReport{SSRC: b.ssrc}
			out = append(out, r)
		}
		r.Reports = append(r.Reports, s.report(now))
	}
	return out
}

// sooner moves what is to happen at *at to t, if that is earlier.
func sooner(at *time.Time, t time.Time) {
	if at.IsZero() || t.Before(*at) {
		*at = t
	}
}
