// Package webserver opens the node's HTTP ports and serves handlers on them, with limits against clients that hold connections open.
//
// main opens the listeners before anything else and runs Serve for each; it ends with its context. What is served is not known here.
package webserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Limits of what a client may take.
const (
	HeaderTimeout = 5 * time.Second  // for a request's header
	ReadTimeout   = 15 * time.Second // for a whole request
	writeTimeout  = 30 * time.Second // for a reply; event streams and drains lift it for themselves
	idleTimeout   = 2 * time.Minute
	closeTimeout  = 5 * time.Second // for replies under way when the server ends
	maxHeader     = 32 << 10        // bytes
	maxStreams    = 64              // requests at a time on one connection of HTTP/2
)

// Listener is an open port.
type Listener struct {
	net.Listener
	Scheme string // of URLs there: "http" or "https"
}

// Listen opens a TCP port; with conf it speaks TLS. The error names the address and flag, the command line's name of it.
func Listen(addr netip.AddrPort, flag string, conf *tls.Config) (Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr.String())
	switch {
	case err != nil:
		return Listener{}, fmt.Errorf("cannot listen on %s (%s): %w", addr, flag, err)
	case conf != nil:
		return Listener{tls.NewListener(l, conf), "https"}, nil
	}
	return Listener{l, "http"}, nil
}

// URL is the base URL of the port on the address that it listens on, on loopback if that is all of them.
func (l Listener) URL() string { return l.Scheme + "://" + Reachable(l) }

// Addr is the address of a TCP listener.
func Addr(l net.Listener) netip.AddrPort {
	return l.Addr().(*net.TCPAddr).AddrPort() //nolint:forcetypeassert // a TCP listener's address is one
}

// Reachable is the address of a TCP listener as "host:port" that can be dialled from this machine.
func Reachable(l net.Listener) string {
	a := Addr(l)
	if a.Addr().Unmap().IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(a.Port())))
	}
	return a.String()
}

// Serve serves h on l until ctx ends, then gives replies under way a moment and returns nil. Any other end is an error. l is closed
// when it returns.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: HeaderTimeout, ReadTimeout: ReadTimeout, WriteTimeout: writeTimeout,
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
