package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/hosts"
	"weever/mediad/internal/privateapi"
	"weever/mediad/internal/tlsconf"
	"weever/mediad/internal/udpio"
	"weever/mediad/internal/webserver"
	"weever/shared/apierr"
	"weever/shared/controlapi"
)

// This file is the node's sockets and what is served on them. newNode opens them, Run serves, close closes.

// listen opens the media port and the HTTP listeners.
func (n *node) listen() (err error) {
	interfaces := n.cfg.Media.Interfaces
	if n.cfg.Media.LoopbackOnly {
		interfaces = []string{"lo*"}
	}
	if n.udp, err = udpio.Listen(udpio.Config{Port: int(n.cfg.Media.UDPPort), Interfaces: interfaces, Log: n.log}); err != nil {
		return err
	}
	if n.private, err = webserver.Listen(netip.AddrPortFrom(n.cfg.Private.Host, n.cfg.Private.Port), "--private-port", nil); err != nil {
		return err
	}
	var conf *tls.Config
	if !n.cfg.Public.PlainHTTP {
		if conf, err = n.tlsConfig(); err != nil {
			return err
		}
	}
	main, err := webserver.Listen(netip.AddrPortFrom(n.cfg.Public.Host, n.cfg.Public.Port), "--port", conf)
	if err != nil {
		return err
	}
	n.public = []webserver.Listener{main}
	if n.cfg.Public.PlainAddr.IsValid() {
		plain, err := webserver.Listen(n.cfg.Public.PlainAddr, "--dev-port", nil)
		if err != nil {
			return err
		}
		n.public = append(n.public, plain)
	}
	return nil
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
	return n.public[0].Scheme + "://" + net.JoinHostPort(n.cfg.Node.AdvertiseHost, strconv.Itoa(int(n.advertisedPort())))
}

func (n *node) controlHandler() http.Handler {
	return controlapi.New(controlapi.Config{Tokens: n.tokens, Store: n.store, Log: n.log, AdminToken: n.cfg.Private.AdminToken.Value()})
}

// answerForeign serves what other nodes pass on for our sessions; before there is any, there is none.
func (n *node) answerForeign(ctx context.Context, msg []byte) ([]byte, error) {
	if h := n.foreign.Load(); h != nil {
		return (*h)(ctx, msg)
	}
	return nil, errors.New("this node is starting")
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
		g.Go(func() error { return webserver.Serve(front, l, n.metrics.Requests(http.HandlerFunc(n.gated)), n.log) })
	}
	var names []string
	if n.cfg.Private.AdminToken.IsZero() {
		names = []string{} // localhost and addresses
	}
	private := privateapi.New(privateapi.Config{
		Control: n.controlHandler(), Metrics: n.metrics.Handler(), AdminToken: n.cfg.Private.AdminToken.Value(),
		Drain: n.drain, Readiness: n.readiness.Report,
	})
	g.Go(func() error {
		return webserver.Serve(core, n.private, hosts.Only(names, "give it an --admin-token", private), n.log)
	})
	return g.Wait()
}

// counts gives the number of running sessions; none before the node is ready.
func (n *node) counts() (publishers, viewers int) {
	if n.gate.Load() == nil {
		return 0, 0
	}
	return n.sessions.Counts()
}

// PublicURL is the base URL of the public API on the address it listens on, loopback if that is all.
func (n *node) PublicURL() string { return n.public[0].URL() }

// PrivateURL is the base URL of the private API.
func (n *node) PrivateURL() string { return n.private.URL() }

func addrOf(l net.Listener) netip.AddrPort { return webserver.Addr(l) }
