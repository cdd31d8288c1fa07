//go:build !linux

package wire

import "net"

// stampRoom is nothing: this system is not asked for the time of packets.
const stampRoom = 0

func stamped(*net.UDPConn) bool { return false }

func readStamp([]byte) (int64, bool) { return 0, false }
