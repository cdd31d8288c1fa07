package netns

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

const (
	maxFrame   = 1514 // bytes: Ethernet's header and 1500
	etherFrom  = 14   // where a frame's packet begins
	etherType  = 12   // where a frame says what it is
	typeIPv4   = 0x0800
	ipHeader   = 20
	udpHeader  = 8
	ipProto    = 9 // where the header says what follows
	protoUDP   = 17
	timeToLive = 64
	maxForged  = maxFrame - etherFrom - ipHeader - udpHeader
)

var errTooLong = errors.New("longer than an Ethernet frame has room for")

// Forger puts datagrams on a LAN that claim to come from wherever the test wants. What is sent to it is lost. It ends with the test; its
// method is for one goroutine at a time.
type Forger struct {
	file *os.File
	buf  [maxFrame]byte
	ends map[netip.Addr]net.HardwareAddr
}

// Forger adds one that knows the stations there are.
func (l *LAN) Forger() *Forger {
	t := l.net.t
	t.Helper()
	port := l.port()
	f := &Forger{file: l.net.tap(l.wires, port), ends: map[netip.Addr]net.HardwareAddr{}}
	l.attach(port)
	l.wires.ip("link set " + port + " type bridge_slave learning off flood off mcast_flood off bcast_flood off")
	here, err := net.InterfaceByName(l.net.Interface)
	if err != nil {
		t.Fatal(err)
	}
	f.ends[l.Host] = here.HardwareAddr
	for _, s := range l.stations {
		out, err := exec.Command("ip", "netns", "exec", s.m.Name, "cat", "/sys/class/net/eth0/address").Output() //nolint:gosec // our names
		if err == nil {
			f.ends[s.Addr], err = net.ParseMAC(strings.TrimSpace(string(out)))
		}
		if err != nil {
			t.Fatalf("the hardware address of %v: %v", s.Addr, err)
		}
	}
	header := f.buf[etherFrom:]
	copy(f.buf[6:], []byte{2, 0, 0, 0, 0, 1}) // a sender that exists nowhere
	binary.BigEndian.PutUint16(f.buf[etherType:], typeIPv4)
	header[0], header[8], header[ipProto] = 0x45, timeToLive, protoUDP
	return f
}

// Send sends one datagram of UDP over IPv4 to a station, or to this process, without a checksum of UDP.
func (f *Forger) Send(from, to netip.AddrPort, payload []byte) error {
	end, ok := f.ends[to.Addr()]
	switch {
	case !ok:
		return errors.New("no such station: " + to.String())
	case len(payload) > maxForged:
		return errTooLong
	}
	copy(f.buf[:], end)
	header := f.buf[etherFrom:]
	length := ipHeader + udpHeader + len(payload)
	src, dst := from.Addr().As4(), to.Addr().As4()
	binary.BigEndian.PutUint16(header[2:], uint16(length)) //nolint:gosec // at most an Ethernet frame's
	copy(header[12:], src[:])
	copy(header[16:], dst[:])
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], checksum(header[:ipHeader]))
	udp := header[ipHeader:]
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(udpHeader+len(payload))) //nolint:gosec // as above
	copy(udp[udpHeader:], payload)
	_, err := f.file.Write(f.buf[:etherFrom+length])
	return err
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum) //nolint:gosec // just folded
}
