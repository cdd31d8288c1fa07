package publicip

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pion/stun/v4"
)

const (
	stunTries = 4
	stunWait  = 500 * time.Millisecond // for an answer, before the next try (RFC 8489 section 6.2.1)
)

// askSTUN sends binding requests over UDP until one is answered (RFC 8489 section 3).
func askSTUN(ctx context.Context, server string) (netip.Addr, error) {
	if !strings.HasPrefix(server, "stun:") {
		server = "stun:" + server
	}
	uri, err := stun.ParseURI(server)
	if err != nil {
		return netip.Addr{}, errors.New("must look like stun:host:3478")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.Addr{}, err
	}
	buf := make([]byte, 1500)
	for range stunTries {
		if _, err = conn.Write(request.Raw); err != nil {
			return netip.Addr{}, err
		}
		if err = conn.SetReadDeadline(time.Now().Add(stunWait)); err != nil {
			return netip.Addr{}, err
		}
		for err == nil { // until the answer comes or the time is over
			var n int
			if n, err = conn.Read(buf); err != nil {
				break
			}
			if addr, ok := mapped(buf[:n], request.TransactionID); ok {
				return public(addr.String())
			}
		}
		if !isTimeout(err) {
			return netip.Addr{}, errors.Join(ctx.Err(), err)
		}
	}
	return netip.Addr{}, errors.New("no answer")
}

// mapped reads the address out of a binding success response to our request.
func mapped(packet []byte, id [stun.TransactionIDSize]byte) (netip.Addr, bool) {
	m := &stun.Message{Raw: packet}
	if err := m.Decode(); err != nil || m.Type != stun.BindingSuccess || m.TransactionID != id {
		return netip.Addr{}, false
	}
	var xor stun.XORMappedAddress
	if err := xor.GetFrom(m); err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(xor.IP)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
