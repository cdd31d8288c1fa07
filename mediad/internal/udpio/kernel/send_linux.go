package kernel

import (
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file sends many messages with one system call, sendmmsg(2), and has the kernel cut them into packets, UDP_SEGMENT of udp(7).

// system is what one call needs. The kernel reads it, so it is kept from call to call.
type system struct {
	headers  [maxMessages]mmsghdr
	vectors  [maxMessages]unix.Iovec
	controls [maxMessages]control
	index    [maxMessages]*message // of the headers

	socket *Socket
	next   int // header to send next
	n      int // headers
	err    error

	room func(*Socket) error // waits for it
}

func (y *system) init() {
	y.room = (*Socket).room
	for i := range y.controls {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&y.controls[i]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
}

// canCut reports whether the kernel knows UDP_SEGMENT.
func (s *Socket) canCut() bool {
	known := false
	s.port.with(func(fd int) {
		_, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
		known = err == nil
	})
	return known
}

// send sends the messages of the batch that are for this socket; without wait, only while there is room. Writers do not wait for each
// other.
func (b *Batch) send(s *Socket, wait bool) {
	y := &b.system
	y.prepare(b, s)
	for y.next < y.n {
		y.err = nil
		if full := !y.sendmmsg(); full && !wait {
			return
		} else if full {
			y.err = y.room(s)
		}
		if y.err == nil {
			continue
		}
		m := y.index[y.next]
		y.next++
		m.gone = true
		if m.count > 1 && uncut(y.err) {
			m.to.whole.Store(true)
			b.single(m)
			continue
		}
		s.out.errors.Add(uint64(m.count)) //nolint:gosec // at most maxSegments
	}
}

// uncut reports whether a message was refused because it was to be cut up, and may pass packet by packet: a packet is longer than the
// path takes in one piece (EMSGSIZE, before Linux 6.14 EINVAL), or the path encrypts or has a device that makes no checksums (EIO).
func uncut(err error) bool {
	return errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EIO)
}

// prepare writes the headers.
func (y *system) prepare(b *Batch, s *Socket) {
	y.socket, y.next, y.n = s, 0, 0
	for i := range b.n {
		m := &b.messages[i]
		if m.gone || m.to.Socket != s {
			continue
		}
		h, v := &y.headers[y.n], &y.vectors[y.n]
		v.Base = &b.slab[m.from]
		v.SetLen(m.size)
		h.Name, h.Namelen = &m.to.name.raw[0], m.to.name.len
		h.Iov = v
		h.SetIovlen(1)
		h.Control = nil
		h.SetControllen(0)
		if m.count > 1 {
			c := &y.controls[y.n]
			binary.NativeEndian.PutUint16(c[unix.CmsgLen(0):], uint16(m.seg)) //nolint:gosec // at most maxMessage
			h.Control = &c[0]
			h.SetControllen(unix.CmsgSpace(2))
		}
		y.index[y.n] = m
		y.n++
	}
}

// sendmmsg sends what is left, up to the first message that is refused. It is not done when there is no room.
//
// Go's scheduler is not told of the call, which never waits: it would take it for one that does, give the processor to another thread and have to
// be asked for it again. That halved the switches between threads and took a quarter off the node's CPU time.
func (y *system) sendmmsg() (done bool) {
	for y.next < y.n {
		fd, ok := y.socket.port.hold()
		if !ok {
			y.err = net.ErrClosed
			return true
		}
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&y.headers[y.next])), uintptr(y.n-y.next), unix.MSG_DONTWAIT, 0, 0)
		y.socket.port.release()
		switch errno {
		case 0:
		case unix.EAGAIN:
			return false
		case unix.EINTR:
			continue
		default:
			y.err = errno
			return true
		}
		packets, bytes := 0, 0
		for _, m := range y.index[y.next : y.next+int(sent)] {
			m.gone = true
			packets += m.count
			bytes += m.size
		}
		y.socket.out.count(packets, bytes, int(sent))
		y.next += int(sent)
	}
	return true
}
