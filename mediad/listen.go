package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/httpapi"
	"weever/mediad/internal/tlsconf"
	"weever/mediad/internal/udpio"
	"weever/shared/apierr"
	"weever/shared/controlapi"
)

// This file is the node's sockets and what is served on them. newNode opens them, Run serves, close closes.

// Limits of HTTP, against clients that hold connections open.
const (
	closeTimeout  = 5 * time.Second // for replies under way when the node ends
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 30 * time.Second // a reply; event streams and drains lift it for themselves
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10 // bytes
	maxStreams    = 64       // requests at a time on one connection of HTTP/2
)

// errDraining is what readiness says of a node that drains or has been drained.
var errDraining = errors.New("draining")

// listener is an open public socket.
type listener struct {
	net.Listener
	scheme string
}

// listen opens the media port and the HTTP listeners.
func (n *node) listen() (err error) {
	interfaces := n.cfg.Media.Interfaces
	if n.cfg.Media.LoopbackOnly {
		interfaces = []string{"lo*"}
	}
	if n.udp, err = udpio.Listen(udpio.Config{Port: int(n.cfg.Media.UDPPort), Interfaces: interfaces, Log: n.log}); err != nil {
		return err
	}
	if n.private, err = listenTCP(netip.AddrPortFrom(n.cfg.Private.Host, n.cfg.Private.Port), "--private-port"); err != nil {
		return err
	}
	main, err := listenTCP(netip.AddrPortFrom(n.cfg.Public.Host, n.cfg.Public.Port), "--port")
	if err != nil {
		return err
	}
	n.public = []listener{{main, "http"}}
	if !n.cfg.Public.PlainHTTP {
		conf, err := n.tlsConfig()
		if err != nil {
			return err
		}
		n.public[0] = listener{tls.NewListener(main, conf), "https"}
	}
	if n.cfg.Public.PlainAddr.IsValid() {
		plain, err := listenTCP(n.cfg.Public.PlainAddr, "--dev-port")
		if err != nil {
			return err
		}
		n.public = append(n.public, listener{plain, "http"})
	}
	return nil
}

func listenTCP(addr netip.AddrPort, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (%s): %w", addr, flag, err)
	}
	return l, nil
}

// tlsConfig serves the configured certificate, or in development one that is made here.
func (n *node) tlsConfig() (*tls.Config, error) {
	if n.cfg.Public.CertFile == "" {
		cert, err := tlsconf.SelfSigned()
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, err
	}
	var err error
	n.tls, err = tlsconf.New(tlsconf.Config{CertFile: n.cfg.Public.CertFile, KeyFile: n.cfg.Public.KeyFile, Log: n.log})
	if err != nil {
		return nil, err
	}
	return n.tls.Server(), nil
}

func (n *node) advertisedPort() uint16 {
	if n.cfg.Node.AdvertisePort != 0 {
		return n.cfg.Node.AdvertisePort
	}
	return addrOf(n.public[0]).Port()
}

// advertisedURL is where clients reach this very node.
func (n *node) advertisedURL() string {
	return n.public[0].scheme + "://" + net.JoinHostPort(n.cfg.Node.AdvertiseHost, strconv.Itoa(int(n.advertisedPort())))
}

func (n *node) controlHandler() http.Handler {
	return controlapi.New(controlapi.Config{Tokens: n.tokens, Store: n.store, Log: n.log, AdminToken: n.cfg.Private.AdminToken.Value()})
}

// ready is nil when the node takes sessions.
func (n *node) ready() error {
	if n.drain.On() {
		return errDraining
	}
	if n.gate.Load() == nil {
		return errNotYet
	}
	return n.sessions.Ready()
}

// answerForeign serves what other nodes pass on for our sessions; before there is any, there is none.
func (n *node) answerForeign(ctx context.Context, msg []byte) ([]byte, error) {
	if h := n.foreign.Load(); h != nil {
		return (*h)(ctx, msg)
	}
	return nil, errNotYet
}

// gated serves the public handler, or 503 before there is one.
func (n *node) gated(w http.ResponseWriter, r *http.Request) {
	if h := n.gate.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	apierr.Write(w, r, apierr.New(apierr.Unavailable, "this node is starting; try again, another will answer").After(time.Second))
}

// serveHTTP runs all listeners until core ends. The public ones stop taking requests when front ends.
func (n *node) serveHTTP(core, front context.Context) error {
	var g errgroup.Group
	for _, l := range n.public {
		g.Go(func() error { return serveListener(front, l, http.HandlerFunc(n.gated), n.log) })
	}
	var hosts []string
	if n.cfg.Private.AdminToken.IsZero() {
		hosts = []string{} // localhost and addresses
	}
	private := httpapi.NewPrivate(httpapi.PrivateConfig{
		Control: n.controlHandler(), AdminToken: n.cfg.Private.AdminToken.Value(), Ready: n.ready, Drain: n.drain, Log: n.log,
		Counts: func() (int, int) {
			if n.gate.Load() == nil {
				return 0, 0
			}
			return n.sessions.Counts()
		},
		Backends: map[string]func(context.Context) error{"redis": n.redis.Ping, "nats": n.natsUp},
	})
	g.Go(func() error {
		return serveListener(core, n.private, httpapi.OnlyHosts(hosts, "give it an --admin-token", private), n.log)
	})
	return g.Wait()
}

func (n *node) natsUp(context.Context) error {
	if !n.control.IsConnected() || !n.media.IsConnected() {
		return nats.ErrDisconnected
	}
	return nil
}

// serveListener serves h on l until ctx ends, then gives replies under way a moment.
func serveListener(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong, TLS handshakes given up
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(l)
	if stop() {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	<-done
	return nil
}

// PublicURL is the base URL of the public API on the address it listens on, loopback if that is all.
func (n *node) PublicURL() string { return n.public[0].scheme + "://" + reachable(addrOf(n.public[0])) }

// PrivateURL is the base URL of the private API.
func (n *node) PrivateURL() string { return "http://" + reachable(addrOf(n.private)) }

func addrOf(l net.Listener) netip.AddrPort {
	return l.Addr().(*net.TCPAddr).AddrPort() //nolint:forcetypeassert // a TCP listener's address is one
}

// reachable names an address that can be dialled from this machine.
func reachable(a netip.AddrPort) string {
	if ip := a.Addr().Unmap(); ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(a.Port())))
	}
	return a.String()
}
