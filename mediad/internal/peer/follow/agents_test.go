package follow

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"

	"weever/mediad/internal/pionlog"
	"weever/mediad/internal/udpio"
	"weever/shared/eventually"
)

// wire is a client's socket: it shows the checks that go out, can keep one back, and can change its port as behind a NAT.
type wire struct {
	local net.Addr

	mu       sync.Mutex
	conn     net.PacketConn
	sent     time.Time
	checks   [][]byte // since the port is this one
	withhold bool
	withheld []byte
}

func socket(t *testing.T) net.PacketConn {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func portOf(a net.Addr) int { return a.(*net.UDPAddr).Port } //nolint:forcetypeassert // a UDP socket's

func (w *wire) now() net.PacketConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		conn := w.now()
		n, from, err := conn.ReadFrom(b)
		if err == nil || !errors.Is(err, net.ErrClosed) || conn == w.now() {
			return n, from, err
		}
	}
}

func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = time.Now()
	m := &stun.Message{Raw: slices.Clone(b)}
	if m.Decode() == nil && m.Type == stun.BindingRequest {
		if w.withhold && w.withheld == nil {
			w.withheld = m.Raw
			return len(b), nil
		}
		w.checks = append(w.checks, m.Raw)
	}
	return w.conn.WriteTo(b, to)
}

// rebind changes the port, unseen by the client.
func (w *wire) rebind(conn net.PacketConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conn.Close()
	w.conn, w.checks = conn, nil
}

// seen returns the checks sent from this port.
func (w *wire) seen() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.checks)
}

func (w *wire) quiet() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.sent)
}

func (w *wire) Close() error                     { return w.now().Close() }
func (w *wire) LocalAddr() net.Addr              { return w.local }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// checkEvery is how often the client checks its path; it sends nothing else, so that it is silent for longer than deaf.
const checkEvery = 800 * time.Millisecond

// link is an agent of ours that is connected with a client's.
type link struct {
	ours *ice.Agent
	wire *wire
	to   net.Addr // our socket
}

func connect(t *testing.T, mux ice.UDPMux) *link {
	t.Helper()
	conn := socket(t)
	l := &link{wire: &wire{local: conn.LocalAddr(), conn: conn}, to: mux.GetListenAddresses()[0]}
	agent := func(mux ice.UDPMux, options ...ice.AgentOption) *ice.Agent {
		a, err := ice.NewAgentWithOptions(append(options, ice.WithUDPMux(mux), ice.WithIncludeLoopback(), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
			ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.GracefulClose() })
		return a
	}
	l.ours = agent(mux, ice.WithBindingRequestHandler((&follower{}).onRequest), ice.WithKeepaliveInterval(time.Minute))
	clientMux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: l.wire, Logger: quietly()})
	t.Cleanup(func() { _ = clientMux.Close() })
	client := agent(clientMux, ice.WithKeepaliveInterval(checkEvery), ice.WithDisconnectedTimeout(0), ice.WithFailedTimeout(0))
	introduce(t, l.ours, client)
	introduce(t, client, l.ours)
	ufrag, pwd := credentials(t, l.ours)
	if _, err := client.StartDial(ufrag, pwd); err != nil {
		t.Fatal(err)
	}
	ufrag, pwd = credentials(t, client)
	if _, err := l.ours.Accept(t.Context(), ufrag, pwd); err != nil {
		t.Fatal(err)
	}
	if err := client.AwaitConnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// introduce gathers the candidates of one agent and tells another.
func introduce(t *testing.T, a, to *ice.Agent) {
	t.Helper()
	done := make(chan struct{})
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
		} else if err := to.AddRemoteCandidate(c); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	<-done
}

func credentials(t *testing.T, a *ice.Agent) (ufrag, pwd string) {
	t.Helper()
	ufrag, pwd, err := a.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return ufrag, pwd
}

// port is where our agent sends to.
func (l *link) port(t *testing.T) int {
	t.Helper()
	pair, err := l.ours.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		t.Fatal("no pair", err)
	}
	return pair.Remote.Port()
}

func quietly() logging.LeveledLogger {
	return pionlog.New(slog.New(slog.DiscardHandler)).NewLogger("udp")
}

func muxes(t *testing.T) (plain ice.UDPMux, ours *udpio.Mux) {
	t.Helper()
	plain = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: socket(t), Logger: quietly()})
	ours, err := udpio.Listen(udpio.Config{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = plain.Close(), ours.Close() })
	return plain, ours
}

// A captured check, sent from another port of the same host while the client is silent, does not move the path. Without the guard of
// package udpio it gets as far as the follower, and so it does if the client's own never came.
func TestFollowReplayed(t *testing.T) {
	for name, c := range map[string]struct{ guarded, first bool }{
		"it came before":               {},
		"it came before, with a guard": {guarded: true},
		"it is the first to come":      {guarded: true, first: true},
	} {
		t.Run(name, func(t *testing.T) {
			plain, ours := muxes(t)
			mux := plain
			if c.guarded {
				mux = ours
			}
			l := connect(t, mux)
			port := portOf(l.wire.local)
			eventually.True(t, 10*time.Second, "a check", func() bool { return len(l.wire.seen()) > 0 })
			captured := func() []byte { return latest(l.wire.seen()) }
			if c.first {
				captured = func() []byte {
					l.wire.mu.Lock()
					defer l.wire.mu.Unlock()
					l.wire.withhold = true
					return l.wire.withheld
				}
			}
			eventually.True(t, 10*time.Second, "a silence", func() bool { return captured() != nil && l.wire.quiet() > deaf+50*time.Millisecond })
			packet, thief := captured(), socket(t)
			for range 3 {
				if _, err := thief.WriteTo(packet, l.to); err != nil {
					t.Fatal(err)
				}
				if c.guarded && !c.first {
					continue
				}
				if err := thief.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
					t.Fatal(err)
				}
				for range 2 { // our answer and our check
					if _, _, err := thief.ReadFrom(make([]byte, 1500)); err != nil {
						t.Fatal(err)
					}
				}
				if got := l.port(t); got != port {
					t.Fatalf("the path went to port %d, the thief's is %d", got, portOf(thief.LocalAddr()))
				}
			}
			if c.guarded && !c.first {
				eventually.True(t, 10*time.Second, "three drops", func() bool { return ours.Drops(udpio.Replayed) == 3 })
			}
			checks := len(l.wire.seen())
			eventually.True(t, 10*time.Second, "another check", func() bool { return len(l.wire.seen()) > checks })
			if got := l.port(t); got != port {
				t.Errorf("the path is at port %d, the client at %d", got, port)
			}
			// And the client takes its path along when its own port changes.
			l.wire.rebind(socket(t))
			eventually.True(t, 10*time.Second, "the new path", func() bool { return l.port(t) == portOf(l.wire.now().LocalAddr()) })
		})
	}
}

// The first check from a new port is enough: media follows when the port has answered ours.
func TestFollowAtOnce(t *testing.T) {
	_, mux := muxes(t)
	l := connect(t, mux)
	for range 3 {
		eventually.True(t, 10*time.Second, "a silence", func() bool { return l.wire.quiet() > deaf+50*time.Millisecond })
		l.wire.rebind(socket(t))
		eventually.True(t, 10*time.Second, "the new path", func() bool { return l.port(t) == portOf(l.wire.now().LocalAddr()) })
		if n := len(l.wire.seen()); n != 1 {
			t.Errorf("followed after %d checks", n)
		}
	}
}

func latest(checks [][]byte) []byte { return checks[len(checks)-1] }
