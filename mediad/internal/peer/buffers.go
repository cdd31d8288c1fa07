package peer

import (
	"io"
	"sync/atomic"

	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"

	"weever/shared/room"
)

// This file bounds what waits for a reader. pion opens a stream for every SSRC that an RTP or RTCP packet names, the invented ones
// of a report block too, and nobody reads those: each may hold a buffer until the connection ends. The Factory makes one allowance
// per connection and pion calls its buffer; it lives as long as the connection.

// Limits of one connection. Nobody who behaves comes near the numbers of streams; who passes them is disconnected.
const (
	maxRTPStreams  = 256
	maxRTCPStreams = 1024
	rtpBuffer      = 256 << 10 // bytes: a large key frame, for a reader that is late
	rtcpBuffer     = 8 << 10   // bytes; memory is taken as packets come, 2 KiB at first
)

// allowance counts the streams of one connection.
type allowance struct {
	role room.Role
	pc   atomic.Pointer[webrtc.PeerConnection]
	rtp  atomic.Int32
	rtcp atomic.Int32
	cut  atomic.Bool
}

// buffer is a SettingEngine's BufferFactory. pion holds a lock while it calls this, so the connection is closed elsewhere.
func (a *allowance) buffer(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
	count, most, size := &a.rtcp, int32(maxRTCPStreams), rtcpBuffer
	if kind == packetio.RTPBufferPacket {
		count, most = &a.rtp, maxRTPStreams
		if a.role == room.Pub { // a viewer has nothing to send
			size = rtpBuffer
		}
	}
	b := &bounded{Buffer: packetio.NewBuffer(), count: count}
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
	closed atomic.Bool
}

// Close ends the reads that wait; it may be called more than once.
func (b *bounded) Close() error {
	if !b.closed.Swap(true) {
		b.count.Add(-1)
	}
	return b.Buffer.Close()
}
