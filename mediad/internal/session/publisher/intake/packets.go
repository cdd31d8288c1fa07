package intake

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/pion/rtcp"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/fanout/drop"
)

// This file takes what the publisher sends, packet by packet, in the goroutine that reads the socket: nothing here waits. Packets that arrive
// together and belong together go on together.

const (
	minPacket   = 12                   // bytes of an RTP header
	reportSize  = 28                   // bytes of a sender report without blocks
	maxDatagram = 1200                 // bytes of RTCP packets that are sent as one
	tellPause   = 2 * time.Millisecond // between two of them: what is due about then is told together
)

// RTP takes a packet, decrypted; it is borrowed until Done returns. It reports whether the packet belongs to a track that flows.
func (in *Intake) RTP(raw []byte) bool { return in.take(raw, false) }

// take is RTP; repaired says that the packet was in one of RTX.
func (in *Intake) take(raw []byte, repaired bool) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || len(raw) < minPacket {
		return false
	}
	if in.now.IsZero() { // once for all that come together
		in.now = time.Now()
	}
	ssrc := binary.BigEndian.Uint32(raw[8:])
	p, err := fanout.Parse(&in.header, raw, in.ids)
	if n := in.header.GetExtension(in.ids.Wide); err == nil && in.ids.Wide != 0 && len(n) == 2 {
		in.book.Arrived(ssrc, uint16(n[0])<<8|uint16(n[1]), in.now) // of whatever stream: else the publisher takes it for lost
	}
	l := in.laneLocked(ssrc, err == nil)
	if l == nil {
		return false
	}
	if err != nil {
		l.malformed(err)
		return true
	}
	latest := false
	if repaired {
		l.account.Repaired(p.Seq)
	} else {
		latest = l.account.Arrived(p.Seq, p.Timestamp, in.now)
	}
	pt := in.header.PayloadType
	if l.repeats != nil {
		if len(p.Payload) < 2 {
			return true // padding, to find out what the link carries
		}
		// RFC 4588 section 4: the number that the packet had comes first.
		p.Seq, p.Payload = uint16(p.Payload[0])<<8|uint16(p.Payload[1]), p.Payload[2:]
		pt, l, latest = l.input.formats.Repeats[pt], l.repeats, false
		l.account.Repaired(p.Seq)
	}
	if pt != l.payloadType && !latest { // from before a change of codec, which is not to be undone
		if l.stream != nil {
			l.stream.Drop(drop.PayloadType)
		}
		return true
	}
	if pt != l.payloadType || l.opened != l.input.opened {
		in.flushLocked()
		in.reopenLocked(l, pt)
	}
	if l.stream == nil {
		return false
	}
	if !l.known {
		l.stream.Drop(drop.PayloadType)
		return true
	}
	in.gatherLocked(l, p)
	return true
}

// malformed counts a packet that could not be parsed.
func (l *lane) malformed(err error) {
	switch {
	case l.stream == nil:
	case errors.Is(err, fanout.ErrOversized):
		l.stream.Drop(drop.Oversized)
	default:
		l.stream.Drop(drop.Malformed)
	}
}

// gatherLocked adds a packet to those that go on together.
func (in *Intake) gatherLocked(l *lane, p fanout.Packet) {
	if in.target != l.stream {
		in.flushLocked()
		in.target = l.stream
	}
	in.burst = append(in.burst, p)
	if !in.sent {
		in.sent = true
		close(in.first)
	}
	if l.rid != "" && p.Marker {
		in.flushLocked()
		in.frameLocked(l.input, l.rid, in.now)
	}
}

// flushLocked hands on what was gathered.
func (in *Intake) flushLocked() {
	if len(in.burst) > 0 {
		in.target.WritePackets(in.burst)
		clear(in.burst) // the payloads are borrowed
		in.burst = in.burst[:0]
	}
	in.target = nil
}

// Done says that what has come together is complete.
func (in *Intake) Done() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.flushLocked()
	in.now = time.Time{}
	if due := in.book.Due(); !due.IsZero() && (in.awaited.IsZero() || due.Before(in.awaited)) {
		in.awaited = due
		select {
		case in.due <- struct{}{}:
		default:
		}
	}
}

// RTCP takes a compound packet of the publisher, decrypted: of interest are its reports (RFC 3550 section 6.4.1). It is borrowed until RTCP
// returns. pion is not asked to read it: a few bytes of other kinds can stand for lists of megabytes.
func (in *Intake) RTCP(compound []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for b := compound; len(b) >= 4; {
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if size > len(b) {
			return
		}
		if b[0]>>6 == 2 && rtcp.PacketType(b[1]) == rtcp.TypeSenderReport && size >= reportSize {
			in.reportLocked(binary.BigEndian.Uint32(b[4:]), fanout.SenderReport{NTP: binary.BigEndian.Uint64(b[8:]), RTP: binary.BigEndian.Uint32(b[16:])})
		}
		b = b[size:]
	}
}

// reportLocked passes a sender report on.
func (in *Intake) reportLocked(ssrc uint32, r fanout.SenderReport) {
	l := in.lanes[ssrc]
	if l == nil || in.closed {
		return
	}
	l.account.Reported(r.NTP, time.Now())
	if l.stream != nil && l.repeats == nil {
		in.flushLocked()
		l.stream.WriteReport(r)
	}
}

// tell is the goroutine that tells the publisher what has come; it ends with Close.
func (in *Intake) tell() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-in.ended:
			return
		case <-in.due:
		case <-timer.C:
		}
		now := time.Now()
		in.mu.Lock()
		packets := in.book.Write(now)
		in.awaited = in.book.Due()
		next := in.awaited
		in.mu.Unlock()
		in.send(packets)
		if !next.IsZero() {
			timer.Reset(max(next.Sub(now), tellPause))
		}
	}
}

// send tells the publisher, in as few datagrams as it takes.
func (in *Intake) send(packets []rtcp.Packet) {
	for len(packets) > 0 {
		n, size := 1, packets[0].MarshalSize()
		for n < len(packets) && size+packets[n].MarshalSize() <= maxDatagram {
			size += packets[n].MarshalSize()
			n++
		}
		_ = in.cfg.PC.WriteRTCP(packets[:n]) // a publisher who is not there hears nothing
		packets = packets[n:]
	}
}
