// Package kernel passes UDP packets to and from the kernel, many in one system call where the system can.
//
//	Batch ─(UDP_SEGMENT, sendmmsg)→ Socket ─(recvmmsg, UDP_GRO)→ Receive
//
// It does by itself what golang.org/x/net/ipv4 has batches for: those allocate an address for every message.
package kernel

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// How long to wait after an error of reading: each time in a row twice as long.
const (
	minPause = time.Millisecond
	maxPause = 100 * time.Millisecond
)

// Socket is a UDP socket on one address. Package udpio opens it and closes it; one goroutine reads it, any may write.
type Socket struct {
	port   *port
	local  netip.AddrPort
	cuts   bool      // the kernel cuts messages into packets
	names  sync.Pool // of *sockaddr, of post
	closed chan struct{}
	close  func() error // once

	in  counters
	_   [64]byte // the reader's and the writers' counters on cache lines of their own
	out counters
}

// counters is what went one way.
type counters struct {
	packets, bytes, messages, calls, errors atomic.Uint64
}

// Counts is what went one way since the socket was opened.
type Counts struct {
	Packets, Bytes uint64 // bytes of UDP's payload
	Messages       uint64 // in which the kernel took or gave the packets
	Calls          uint64 // system calls by which it did
	Errors         uint64 // out: packets that the kernel refused; in: failures of reading
}

// Listen opens a socket on one address, whose port may be 0. The error is package net's, or tells which system call failed.
func Listen(addr netip.AddrPort) (*Socket, error) {
	p, local, err := openPort(addr)
	if err != nil {
		return nil, err
	}
	s := &Socket{port: p, local: unmap(local), names: sync.Pool{New: func() any { return &sockaddr{} }}, closed: make(chan struct{})}
	s.close = sync.OnceValue(func() error {
		close(s.closed)
		return s.port.shut()
	})
	s.cuts = s.canCut()
	s.gather()
	return s, nil
}

// Local is the socket's address.
func (s *Socket) Local() netip.AddrPort { return s.local }

// Poll has Receive look at once whether something has arrived. Any goroutine may call it; it costs less than a microsecond.
func (s *Socket) Poll() { s.port.rouse() }

// Close ends Receive and all that wait for room to write; when it returns the port is free. Twice does no harm.
func (s *Socket) Close() error { return s.close() }

// WriteTo sends one packet at once. It blocks while the kernel has no room.
func (s *Socket) WriteTo(packet []byte, to netip.AddrPort) (int, error) {
	if err := s.post(packet, unmap(to)); err != nil {
		s.out.errors.Add(1)
		return 0, err
	}
	s.out.count(1, len(packet), 1)
	return len(packet), nil
}

// count adds packets of so many bytes in all that went by one system call.
func (c *counters) count(packets, bytes, messages int) {
	c.packets.Add(uint64(packets))   //nolint:gosec // not negative
	c.bytes.Add(uint64(bytes))       //nolint:gosec // not negative
	c.messages.Add(uint64(messages)) //nolint:gosec // not negative
	c.calls.Add(1)
}

func (c *counters) read() Counts {
	return Counts{Packets: c.packets.Load(), Bytes: c.bytes.Load(), Messages: c.messages.Load(), Calls: c.calls.Load(), Errors: c.errors.Load()}
}

// In is what was received.
func (s *Socket) In() Counts { return s.in.read() }

// Out is what was sent.
func (s *Socket) Out() Counts { return s.out.read() }

// Packet is one that was received.
type Packet struct {
	Data []byte
	From netip.AddrPort // never IPv4 in the form of IPv6
}

// Receive reads until the socket is closed, which is when it returns. take gets what has arrived; that is borrowed until it returns.
// Errors of reading are counted and end nothing.
func (s *Socket) Receive(take func(packets []Packet)) error {
	return s.read(newReceiver(s, take))
}

func (s *Socket) read(r *receiver) error {
	pause := minPause
	for {
		before := s.in.calls.Load()
		err := r.run()
		select {
		case <-s.closed:
			return net.ErrClosed
		default:
		}
		if errors.Is(err, os.ErrDeadlineExceeded) { // Poll
			s.port.settle()
			continue
		}
		s.in.errors.Add(1)
		if s.in.calls.Load() != before {
			pause = minPause
		}
		select {
		case <-s.closed:
			return net.ErrClosed
		case <-time.After(pause):
			pause = min(2*pause, maxPause)
		}
	}
}

// unmap makes addresses comparable: IPv4 may come as IPv6.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
