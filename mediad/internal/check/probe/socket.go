package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

const (
	askTries = 3
	askWait  = 250 * time.Millisecond // for one answer
	slice    = 50 * time.Millisecond  // between looks at the context
)

// Socket is a UDP socket that speaks STUN as half an ICE agent: it sends binding requests with the credentials of a session, and
// notes those that a server sends to it. It never answers, so no session gets connected to it. It is for one goroutine and starts
// none; packets wait in the kernel until somebody reads.
type Socket struct {
	conn  *net.UDPConn
	addr  netip.AddrPort
	heard map[string]bool // USERNAMEs of the requests that came
}

// Listen opens a socket on the address of this machine from which toward is reached.
func Listen(toward netip.AddrPort) (*Socket, error) {
	route, err := new(net.Dialer).DialContext(context.Background(), "udp", toward.String()) // connecting sends nothing
	if err != nil {
		return nil, err
	}
	from, _ := netip.ParseAddrPort(route.LocalAddr().String())
	_ = route.Close()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.Addr(), 0)))
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &Socket{conn: conn, addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), heard: map[string]bool{}}, nil
}

// Addr is where the socket can be reached.
func (s *Socket) Addr() netip.AddrPort { return s.addr }

// Close frees the socket.
func (s *Socket) Close() { _ = s.conn.Close() }

// Login is what a binding request is authenticated with (RFC 8445 section 7.2.2).
type Login struct {
	Theirs string // ufrag of the server
	Pwd    string // of the server
	Ours   string // ufrag of the client
}

// Ask sends binding requests to the address until one is answered with success, at most three in less than a second.
func (s *Socket) Ask(ctx context.Context, to netip.AddrPort, l Login) (bool, error) {
	request, err := bindingRequest(l)
	if err != nil {
		return false, err
	}
	for range askTries {
		if _, err := s.conn.WriteToUDPAddrPort(request.Raw, to); err != nil {
			return false, fmt.Errorf("sending STUN: %w", err)
		}
		answered := false
		err := s.read(ctx, time.Now().Add(askWait), func(m *stun.Message) bool {
			answered = m.TransactionID == request.TransactionID && m.Type == stun.BindingSuccess &&
				stun.NewShortTermIntegrity(l.Pwd).Check(m) == nil
			return answered
		})
		if answered || err != nil {
			return answered, err
		}
	}
	return false, nil
}

// Hears waits until a binding request addressed to the ufrag has come, but no longer than limit.
func (s *Socket) Hears(ctx context.Context, ufrag string, limit time.Duration) (bool, error) {
	err := s.read(ctx, time.Now().Add(limit), func(*stun.Message) bool { return s.knows(ufrag) })
	return s.knows(ufrag), err
}

func (s *Socket) knows(ufrag string) bool {
	for name := range s.heard {
		if strings.HasPrefix(name, ufrag+":") {
			return true
		}
	}
	return false
}

func bindingRequest(l Login) (*stun.Message, error) {
	var tie [8]byte
	if _, err := rand.Read(tie[:]); err != nil {
		return nil, err
	}
	return stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(l.Theirs+":"+l.Ours),
		ice.AttrControlling(binary.BigEndian.Uint64(tie[:])), ice.PriorityAttr(1845501695), stun.NewShortTermIntegrity(l.Pwd), stun.Fingerprint)
}

// read takes packets in until enough says so, nothing has come until the deadline, or ctx ends, which is an error.
func (s *Socket) read(ctx context.Context, deadline time.Time, enough func(*stun.Message) bool) error {
	buf := make([]byte, 1500)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		now := time.Now()
		if err := s.conn.SetReadDeadline(now.Add(min(slice, max(deadline.Sub(now), time.Millisecond)))); err != nil {
			return err
		}
		n, _, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				return err
			}
			if time.Now().After(deadline) {
				return nil
			}
			continue
		}
		m := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
		if m.Decode() != nil {
			continue
		}
		var name stun.Username
		if m.Type == stun.BindingRequest && name.GetFrom(m) == nil && len(s.heard) < 1000 {
			s.heard[string(name)] = true
		}
		if enough(m) {
			return nil
		}
	}
}
