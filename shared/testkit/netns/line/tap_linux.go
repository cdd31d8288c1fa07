package line

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Open makes an end: a network interface whose cable is a file: what the kernel sends on it is read, a frame at a time, and what is written
// arrives on it. It is gone when the file is closed, wherever it has been moved to.
func Open(name string) (*os.File, error) {
	const device = "/dev/net/tun"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("making the interface %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), device), nil // from here on the poller waits for it, which needs the interface
}
