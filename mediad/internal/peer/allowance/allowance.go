// Package allowance bounds what waits for a reader in one connection: the number of its streams and the bytes of each.
//
// Package peer makes an Allowance per connection and pion calls its Buffer; it lives as long as the connection.
package allowance

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"
)

// Limits of one connection. Nobody who behaves comes near the numbers of streams; who passes them is disconnected.
const (
	maxRTPStreams  = 256
	maxRTCPStreams = 1024
	rtpBuffer      = 256 << 10 // bytes: a large key frame, for a reader that is late
	rtcpBuffer     = 8 << 10   // bytes; memory is taken as packets come, 2 KiB at first
)

// Allowance counts the streams of one connection. pion opens one for every SSRC that an RTP or RTCP packet names, the invented ones of
// a report block too, and nobody reads those: each may hold a buffer until the connection ends. Any goroutine may call its methods.
type Allowance struct {
	media bool // the other side sends some
	pc    atomic.Pointer[webrtc.PeerConnection]
	rtp   atomic.Int32
	rtcp  atomic.Int32
	cut   atomic.Bool

	unread *atomic.Uint64 // of all connections
}

// New makes the Allowance of a connection over which media is received, or none is: a viewer has nothing to send. RTP packets that nobody
// read are added to unread: those that found the buffer full, and what was left when the stream was closed. Of an SSRC that was not
// declared that is nearly all.
func New(receives bool, unread *atomic.Uint64) *Allowance {
	return &Allowance{media: receives, unread: unread}
}

// Guard names the connection, which is closed once it has had more streams than anybody who behaves. Call it before any packet comes.
func (a *Allowance) Guard(pc *webrtc.PeerConnection) { a.pc.Store(pc) }

// Buffer is a SettingEngine's BufferFactory. pion holds a lock while it calls this, so the connection is closed elsewhere.
func (a *Allowance) Buffer(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
	count, most, size := &a.rtcp, int32(maxRTCPStreams), rtcpBuffer
	if kind == packetio.RTPBufferPacket {
		count, most = &a.rtp, maxRTPStreams
		if a.media {
			size = rtpBuffer
		}
	}
	b := &bounded{Buffer: packetio.NewBuffer(), count: count}
	if kind == packetio.RTPBufferPacket {
		b.unread = a.unread
	}
	b.SetLimitSize(size)
	if count.Add(1) > most {
		_ = b.Buffer.Close()
		if pc := a.pc.Load(); pc != nil && !a.cut.Swap(true) {
			go func() { _ = pc.Close() }()
		}
	}
	return b
}

// bounded gives its place in the count back when it is closed.
type bounded struct {
	*packetio.Buffer
	count  *atomic.Int32
	unread *atomic.Uint64 // nil: of RTCP
	closed atomic.Bool
}

// Write implements io.Writer; p is copied.
func (b *bounded) Write(p []byte) (int, error) {
	n, err := b.Buffer.Write(p)
	if b.unread != nil && errors.Is(err, packetio.ErrFull) {
		b.unread.Add(1)
	}
	return n, err
}

// Close ends the reads that wait; it may be called more than once.
func (b *bounded) Close() error {
	if !b.closed.Swap(true) {
		b.count.Add(-1)
		if b.unread != nil {
			b.unread.Add(uint64(b.Count())) //nolint:gosec // not negative
		}
	}
	return b.Buffer.Close()
}
