package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roomCheck is how often somebody who waits for room looks whether the socket has been closed.
const roomCheck = 20 * time.Millisecond

// port is the socket.
//
// Go's poller would watch it for room to write, too: each packet that a device has taken wakes the process, and there is nothing to do. So
// the poller does not know the socket, which counts as blocking — every call says MSG_DONTWAIT — but an epoll instance that looks for
// packets alone (epoll(7): one may watch another).
type port struct {
	socket  *os.File
	control syscall.RawConn // of socket
	arrival *os.File        // the epoll instance
	arrived syscall.RawConn // of arrival
}

// openPort opens a socket on one address, whose port may be 0, and says which it got.
func openPort(addr netip.AddrPort) (p port, local netip.AddrPort, err error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return p, local, err //nolint:wrapcheck // for whoever knows what the address is for
	}
	local = conn.LocalAddr().(*net.UDPAddr).AddrPort() //nolint:forcetypeassert // a UDPConn's address is one
	fd, err := duplicate(conn)
	_ = conn.Close() // the duplicate lives on, and the poller has let go
	if err != nil {
		return p, local, fmt.Errorf("a socket of our own: %w", err)
	}
	nonblock := unix.SetNonblock(fd, false)
	p.socket = os.NewFile(uintptr(fd), "udp") //nolint:gosec // a descriptor
	if err := errors.Join(nonblock, p.watch(fd)); err != nil {
		_ = p.socket.Close()
		return p, local, err
	}
	return p, local, nil
}

// duplicate gives a descriptor of the connection's socket.
func duplicate(conn *net.UDPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err //nolint:wrapcheck // by openPort
	}
	var errno error
	err = raw.Control(func(of uintptr) { fd, errno = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, errno)
}

// watch makes the epoll instance.
func (p *port) watch(fd int) (err error) {
	if p.control, err = p.socket.SyscallConn(); err != nil {
		return err //nolint:wrapcheck // says enough
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create: %w", err)
	}
	arrivals := unix.EpollEvent{Events: unix.EPOLLIN}
	if err := errors.Join(unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &arrivals), unix.SetNonblock(ep, true)); err != nil {
		_ = unix.Close(ep)
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	p.arrival = os.NewFile(uintptr(ep), "arrivals") //nolint:gosec // a descriptor
	if p.arrived, err = p.arrival.SyscallConn(); err != nil {
		_ = p.arrival.Close()
	}
	return err //nolint:wrapcheck // says enough
}

// shut closes both, once; who reads is told so.
func (p *port) shut() error { return errors.Join(p.arrival.Close(), p.socket.Close()) }

// rouse has who waits for arrivals come back with os.ErrDeadlineExceeded, and everybody from now on until settle.
func (p *port) rouse()  { _ = p.arrival.SetReadDeadline(time.Unix(1, 0)) }
func (p *port) settle() { _ = p.arrival.SetReadDeadline(time.Time{}) }

// room waits until the kernel may have room again. It fails when the port has been shut.
func (s *Socket) room() error {
	err := s.port.control.Control(func(fd uintptr) {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(roomCheck.Milliseconds())) //nolint:gosec // a descriptor
	})
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
		return err //nolint:wrapcheck // closed
	}
}

// letter is one packet that leaves by itself.
type letter struct {
	packet []byte
	to     sockaddr
	errno  syscall.Errno
	send   func(fd uintptr) // kept: a closure made per packet would be an allocation
}

func newLetter() any {
	l := &letter{}
	l.send = func(fd uintptr) {
		_, _, l.errno = unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(l.packet))), uintptr(len(l.packet)), unix.MSG_DONTWAIT,
			uintptr(unsafe.Pointer(&l.to.raw[0])), uintptr(l.to.len))
	}
	return l
}

// post sends one packet; see Socket.WriteTo. As in sendmmsg, the scheduler is not told.
func (s *Socket) post(packet []byte, to netip.AddrPort) error {
	if to.Addr().Is6() != s.local.Addr().Is6() {
		return unix.EAFNOSUPPORT
	}
	l := s.letters.Get().(*letter) //nolint:forcetypeassert // nothing else is put there
	defer s.letters.Put(l)
	l.packet = packet
	l.to.set(to, s.local.Addr().Is6())
	defer func() { l.packet = nil }()
	for {
		if err := s.port.control.Control(l.send); err != nil {
			return net.ErrClosed
		}
		runtime.KeepAlive(packet)
		switch l.errno {
		case 0:
			return nil
		case unix.EINTR:
		case unix.EAGAIN:
			if err := s.room(); err != nil {
				return err
			}
		default:
			return l.errno
		}
	}
}
