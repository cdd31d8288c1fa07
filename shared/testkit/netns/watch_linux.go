package netns

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of struct virtio_net_hdr (linux/virtio_net.h), which tells what the kernel has not split yet.
const (
	offloadHeader = 10
	segmentSize   = 4
)

const (
	watchBuffer = 64 << 20 // bytes of what the kernel keeps until it is asked for
	watchSpace  = 1 << 17  // bytes of the longest frame
)

// Sighting is one datagram on the cable of this process.
type Sighting struct {
	At       time.Time // by the kernel, whenever the programs ran
	Sent     bool      // by this process
	From, To netip.AddrPort
	Payload  []byte
}

// Watcher notes what passes on the cable of this process. It ends with the test; its method is for one goroutine at a time.
type Watcher struct {
	lan *LAN
	fd  int
	buf []byte
}

// Watch begins to note.
func (l *LAN) Watch() *Watcher {
	t := l.net.t
	t.Helper()
	w := &Watcher{lan: l, buf: make([]byte, watchSpace)}
	if err := w.open(l.net.Interface); err != nil {
		t.Fatalf("watching the network: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(w.fd) })
	return w
}

func (w *Watcher) open(name string) (err error) {
	here, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	var ip [2]byte
	binary.BigEndian.PutUint16(ip[:], unix.ETH_P_ALL) // what is sent is seen by those who want all
	return errors.Join(
		unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer),
		unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(ip[:]), Ifindex: here.Index}),
	)
}

// Seen returns the datagrams of UDP over IPv4 since the last call, in order. It fails the test if the kernel has lost some.
func (w *Watcher) Seen() (all []Sighting) {
	t := w.lan.net.t
	t.Helper()
	var more [128]byte
	for {
		n, oobn, _, from, err := unix.Recvmsg(w.fd, w.buf, more[:], 0)
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatalf("watching the network: %v", err)
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		at, stamped := stampOf(more[:oobn])
		if ok && stamped {
			all = append(all, apart(Sighting{At: at, Sent: link.Pkttype == unix.PACKET_OUTGOING}, w.buf[:n])...)
		}
	}
	if lost, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err != nil || lost.Drops > 0 {
		t.Fatalf("watching the network: %v, %+v were lost", err, lost)
	}
	return all
}

// stampOf finds the time among the control messages.
func stampOf(b []byte) (time.Time, bool) {
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return time.Time{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0])) //nolint:gosec // the kernel's own layout
			return time.Unix(ts.Unix()), true
		}
	}
	return time.Time{}, false
}

// apart takes a frame apart, which may be several datagrams of one size that the kernel has not split yet, like Sightings of which the rest
// is known.
func apart(like Sighting, b []byte) (all []Sighting) {
	if len(b) < offloadHeader+etherFrom+ipHeader+udpHeader {
		return nil
	}
	size := int(binary.NativeEndian.Uint16(b[segmentSize:]))
	frame := b[offloadHeader:]
	ip := frame[etherFrom:]
	head := int(ip[0]&0x0f) * 4
	if binary.BigEndian.Uint16(frame[etherType:]) != typeIPv4 || ip[ipProto] != protoUDP || len(ip) < head+udpHeader {
		return nil
	}
	udp := ip[head:]
	like.From = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), binary.BigEndian.Uint16(udp))
	like.To = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), binary.BigEndian.Uint16(udp[2:]))
	payload := udp[udpHeader:]
	for len(payload) > 0 {
		n := len(payload)
		if size > 0 {
			n = min(n, size)
		}
		like.Payload = append([]byte(nil), payload[:n]...)
		all = append(all, like)
		payload = payload[n:]
	}
	return all
}
