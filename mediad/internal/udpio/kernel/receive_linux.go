package kernel

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file receives many messages with one system call, recvmmsg(2), and splits those that the kernel has made of several packets of
// one sender, UDP_GRO of udp(7).

const (
	maxReceived = 32      // messages of one system call
	maxGathered = 1 << 16 // bytes of one message; memory that nothing arrived in is not touched
)

// receiver is what one call needs.
type receiver struct {
	socket   *Socket
	take     func([]Packet)
	headers  [maxReceived]mmsghdr
	vectors  [maxReceived]unix.Iovec
	controls [maxReceived]control
	names    [maxReceived]sockaddr
	slab     []byte
	packets  []Packet
	err      error

	look func(uintptr) (done bool) // drain; kept, for the poller to call
}

// gather asks the kernel to join packets of one sender. Where it cannot, they come one by one.
func (s *Socket) gather() {
	s.port.with(func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) })
}

func newReceiver(s *Socket, take func([]Packet)) *receiver {
	r := &receiver{socket: s, take: take, slab: make([]byte, maxReceived*maxGathered)}
	r.look = func(uintptr) bool { return r.drain() }
	for i := range r.headers {
		v, h := &r.vectors[i], &r.headers[i]
		v.Base = &r.slab[i*maxGathered]
		v.SetLen(maxGathered)
		h.Iov = v
		h.SetIovlen(1)
		h.Name, h.Control = &r.names[i].raw[0], &r.controls[i][0]
		r.reset(i)
	}
	return r
}

// run reads until an error.
func (r *receiver) run() error {
	r.err = nil
	if err := r.socket.port.arrived.Read(r.look); err != nil {
		return err //nolint:wrapcheck // for Receive, which looks whether the socket is closed
	}
	return r.err
}

// reset makes a header ready for the next call: the kernel has overwritten it.
func (r *receiver) reset(i int) {
	h := &r.headers[i]
	h.Namelen, h.Flags = uint32(len(r.names[i].raw)), 0 //nolint:gosec // a few bytes
	h.SetControllen(len(r.controls[i]))
}

// drain is called by the poller whenever there may be something, and reads until there is nothing; it is done after an error. When a call
// brings less than it might, the queue was empty; another to be told so would be one too many. As when sending, the scheduler is not told: the
// call never waits.
func (r *receiver) drain() (done bool) {
	for {
		fd, ok := r.socket.port.hold()
		if !ok {
			return true
		}
		got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), maxReceived, unix.MSG_DONTWAIT, 0, 0)
		r.socket.port.release()
		switch errno {
		case 0:
		case unix.EAGAIN:
			return false
		case unix.EINTR:
			continue
		default:
			r.err = errno
			return true
		}
		r.packets = r.packets[:0]
		bytes := 0
		for i := range int(got) {
			bytes += int(r.headers[i].size)
			r.split(i)
			r.reset(i)
		}
		r.socket.in.count(len(r.packets), bytes, int(got))
		r.take(r.packets)
		if got < maxReceived {
			return false
		}
	}
}

// split appends the packets of a message.
func (r *receiver) split(i int) {
	h := &r.headers[i]
	if h.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 { // does not happen: there is room for all that the kernel may say
		r.socket.in.errors.Add(1)
		return
	}
	from := r.names[i].get()
	data := r.slab[i*maxGathered:][:h.size]
	if seg := segment(r.controls[i][:h.Controllen]); seg > 0 {
		for len(data) > seg {
			r.packets = append(r.packets, Packet{Data: data[:seg:seg], From: from})
			data = data[seg:]
		}
	}
	r.packets = append(r.packets, Packet{Data: data[:len(data):len(data)], From: from})
}

// segment reads the size of the packets that a message was made of, 0 if it is one packet.
func segment(c []byte) int {
	if len(c) < unix.CmsgLen(4) {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
	if h.Level != unix.SOL_UDP || h.Type != unix.UDP_GRO {
		return 0
	}
	return int(binary.NativeEndian.Uint32(c[unix.CmsgLen(0):]))
}
