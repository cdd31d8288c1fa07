package allowance

import (
	"sync/atomic"
	"testing"

	"github.com/pion/transport/v4/packetio"
)

// What finds the buffer full and what is left at the end is counted, of RTP only: a report is copied to each stream that it names.
func TestUnreadPacketsAreCounted(t *testing.T) {
	t.Parallel()
	for _, kind := range []packetio.BufferPacketType{packetio.RTPBufferPacket, packetio.RTCPBufferPacket} {
		var unread atomic.Uint64
		b := New(true, &unread).Buffer(kind, 1)
		packet, written := make([]byte, 1000), uint64(0)
		for ; written < 300; written++ {
			_, _ = b.Write(packet)
		}
		full := unread.Load()
		for range 3 {
			if _, err := b.Read(packet); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the second time is for nothing
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		total := unread.Load()
		if kind == packetio.RTCPBufferPacket {
			written, full = 3, 1
		}
		if full == 0 || total != written-3 {
			t.Errorf("kind %d: of %d packets 3 were read; %d are counted, %d of them before the end", kind, written, total, full)
		}
	}
}
