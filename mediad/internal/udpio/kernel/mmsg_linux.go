package kernel

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// This file is what sendmmsg(2) and recvmmsg(2) are told and tell.

// mmsghdr is struct mmsghdr, which the library has not.
type mmsghdr struct {
	unix.Msghdr
	size uint32
}

// control is the room for one control message with a number.
type control [24]byte

// sockaddr is an address as the kernel takes and gives it: sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)).
type sockaddr struct {
	raw [unix.SizeofSockaddrInet6]byte
	len uint32
}

func (s *sockaddr) set(addr netip.AddrPort, v6 bool) {
	binary.BigEndian.PutUint16(s.raw[2:], addr.Port())
	if v6 {
		binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET6)
		ip := addr.Addr().As16()
		copy(s.raw[8:], ip[:])
		s.len = unix.SizeofSockaddrInet6
		return
	}
	binary.NativeEndian.PutUint16(s.raw[:], unix.AF_INET)
	ip := addr.Addr().As4()
	copy(s.raw[4:], ip[:])
	s.len = unix.SizeofSockaddrInet4
}

func (s *sockaddr) get() netip.AddrPort {
	port := binary.BigEndian.Uint16(s.raw[2:])
	switch binary.NativeEndian.Uint16(s.raw[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.raw[4:])), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.raw[8:])).Unmap(), port)
	}
	return netip.AddrPort{}
}
