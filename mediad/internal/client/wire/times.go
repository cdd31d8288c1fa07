package wire

import (
	"encoding/binary"
	"sync"
	"time"
)

// rows is how many packets a Wire remembers the time of, a power of two.
const rows = 1024

// times remembers when the newest RTP packets came. Sockets put, whoever reads the packets gets. Ready to use when zero.
type times struct {
	mu   sync.Mutex
	rows [rows]arrival
}

// arrival is one packet's. No packet has the SSRC, the number and the time 0.
type arrival struct {
	ssrc uint32
	seq  uint16
	at   int64 // Unix nanoseconds
}

// row spreads the streams of a session over the table.
func row(ssrc uint32, seq uint16) uint32 { return (ssrc*2654435761>>16 + uint32(seq)) % rows }

// put remembers a packet, if it is RTP (RFC 5761 section 4 tells it from RTCP, RFC 7983 from all else). SRTP leaves the header readable.
func (t *times) put(packet []byte, at int64) {
	if len(packet) < 12 || packet[0]>>6 != 2 || packet[1]&0x7f >= 64 && packet[1]&0x7f < 96 {
		return
	}
	a := arrival{binary.BigEndian.Uint32(packet[8:]), binary.BigEndian.Uint16(packet[2:]), at}
	t.mu.Lock()
	t.rows[row(a.ssrc, a.seq)] = a
	t.mu.Unlock()
}

func (t *times) get(ssrc uint32, seq uint16) (time.Time, bool) {
	t.mu.Lock()
	a := t.rows[row(ssrc, seq)]
	t.mu.Unlock()
	if a.ssrc != ssrc || a.seq != seq || a.at == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, a.at), true
}
