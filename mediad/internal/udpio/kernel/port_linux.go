package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roomCheck is how often somebody who waits for room looks whether the socket is being closed.
const roomCheck = 20 * time.Millisecond

// port is the socket.
//
// Go's poller would watch it for room to write, too: each packet that a device has taken wakes the process, and there is nothing to do. So
// the poller does not know the socket but an epoll instance that looks for packets alone (epoll(7): one may watch another).
type port struct {
	arrival *os.File        // the epoll instance
	arrived syscall.RawConn // the same

	waiting sync.Mutex // held by the one who asks the kernel for room: each that does keeps a thread

	mu sync.RWMutex // held for reading while the descriptor is in use, for a system call at a time
	fd int          // -1: shut
}

// openPort opens a socket on one address, whose port may be 0, and says which it got.
func openPort(addr netip.AddrPort) (p *port, local netip.AddrPort, err error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, local, err //nolint:wrapcheck // for whoever knows what the address is for
	}
	local = conn.LocalAddr().(*net.UDPAddr).AddrPort() //nolint:forcetypeassert // a UDPConn's address is one
	fd, err := duplicate(conn)
	_ = conn.Close() // the duplicate lives on, and the poller has let go
	if err != nil {
		return nil, local, fmt.Errorf("a socket of our own: %w", err)
	}
	p = &port{fd: fd}
	if err := p.watch(); err != nil {
		_ = unix.Close(fd)
		return nil, local, err
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
func (p *port) watch() (err error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create: %w", err)
	}
	packets := unix.EpollEvent{Events: unix.EPOLLIN}
	if err := errors.Join(unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, p.fd, &packets), unix.SetNonblock(ep, true)); err != nil {
		_ = unix.Close(ep)
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	p.arrival = os.NewFile(uintptr(ep), "arrivals") //nolint:gosec // a descriptor
	p.arrived, err = p.arrival.SyscallConn()
	if err = errors.Join(err, p.arrival.SetReadDeadline(time.Time{})); err != nil { // fails where the poller has not taken it
		_ = p.arrival.Close()
		return fmt.Errorf("the poller does not watch the socket: %w", err)
	}
	return nil
}

// shut closes it, once, when all system calls have returned; who reads is told so.
func (p *port) shut() error {
	err := p.arrival.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	err = errors.Join(err, unix.Close(p.fd))
	p.fd = -1
	return err
}

// hold gives the descriptor for a system call, after which it has to be released; false: it is shut.
func (p *port) hold() (fd uintptr, ok bool) {
	p.mu.RLock()
	if p.fd < 0 {
		p.mu.RUnlock()
		return 0, false
	}
	return uintptr(p.fd), true //nolint:gosec // a descriptor
}

func (p *port) release() { p.mu.RUnlock() }

// with calls f with the descriptor, unless it is shut.
func (p *port) with(f func(fd int)) {
	if fd, ok := p.hold(); ok {
		defer p.release()
		f(int(fd)) //nolint:gosec // a descriptor
	}
}

// rouse has who waits for arrivals come back with os.ErrDeadlineExceeded, and everybody from now on until settle.
func (p *port) rouse()  { _ = p.arrival.SetReadDeadline(time.Unix(1, 0)) }
func (p *port) settle() { _ = p.arrival.SetReadDeadline(time.Time{}) }

// room waits until the kernel may have room again. It fails when the socket has been closed.
func (s *Socket) room() error {
	s.port.waiting.Lock()
	defer s.port.waiting.Unlock()
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
	}
	s.port.with(func(fd int) {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(roomCheck.Milliseconds())) //nolint:gosec // a descriptor
	})
	return nil
}

// post sends one packet; see Socket.WriteTo. As in sendmmsg, the scheduler is not told.
func (s *Socket) post(packet []byte, to netip.AddrPort) error {
	if to.Addr().Is6() != s.local.Addr().Is6() {
		return unix.EAFNOSUPPORT
	}
	name := s.names.Get().(*sockaddr) //nolint:forcetypeassert // nothing else is put there
	defer s.names.Put(name)
	name.set(to, s.local.Addr().Is6())
	for {
		fd, ok := s.port.hold()
		if !ok {
			return net.ErrClosed
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(packet))), uintptr(len(packet)), unix.MSG_DONTWAIT,
			uintptr(unsafe.Pointer(&name.raw[0])), uintptr(name.len))
		s.port.release()
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		case unix.EAGAIN:
			if err := s.room(); err != nil {
				return err
			}
		default:
			return errno
		}
	}
}
