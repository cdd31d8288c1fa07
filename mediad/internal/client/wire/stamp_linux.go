package wire

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// stampRoom is what a control message with a time needs.
const stampRoom = 64

// stamped asks the kernel for the time of each packet; false: it does not tell.
func stamped(c *net.UDPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)
	})
	return err == nil && refused == nil
}

// readStamp finds the time in a packet's control messages, in Unix nanoseconds: two numbers of 64 bits on every machine.
func readStamp(control []byte) (ns int64, ok bool) {
	for len(control) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0, false
		}
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS_NEW && len(data) >= 16 {
			return int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:])), true //nolint:gosec // the kernel's clock
		}
		control = rest
	}
	return 0, false
}
