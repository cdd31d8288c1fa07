package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file asks the kernel about its buffers.

// meminfo is what SO_MEMINFO tells (SK_MEMINFO_ of linux/sock_diag.h).
type meminfo struct {
	_     [8]uint32
	drops uint32 // packets that found no room
}

// SetBuffers asks for so many bytes in each direction and returns what was granted. Who may administer the network gets what he asks for,
// others at most net.core.rmem_max and wmem_max.
func (s *Socket) SetBuffers(size int) (receive, send int) {
	s.port.with(func(fd int) {
		receive = setBuffer(fd, size, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
		send = setBuffer(fd, size, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	})
	return receive, send
}

func setBuffer(fd, size, force, ask int) int {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, ask, size)
	}
	granted, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, ask)
	return granted / 2 // the kernel doubles it, for its own accounting (socket(7))
}

// Overflows is how many packets arrived and found no room, because they were not read soon enough.
func (s *Socket) Overflows() uint64 {
	var info meminfo
	s.port.with(func(fd int) {
		size := uint32(unsafe.Sizeof(info))
		_, _, _ = unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	return uint64(info.drops)
}
