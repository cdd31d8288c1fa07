package main

import (
	"fmt"
	"net/http"

	"weever/mediad/internal/httpapi"
	"weever/mediad/internal/iceservers"
	"weever/mediad/internal/jwtauth"
	"weever/mediad/internal/ratelimit"
	"weever/site"
)

// This file says who may come in by the public port and what they are told there. newNode calls prepareDoors, Run runs the JWT
// checker, serveSessions opens with publicConfig.

// prepareDoors makes what judges tokens and what hands out ICE servers.
func (n *node) prepareDoors() (err error) {
	n.ice, err = iceservers.New(iceservers.Config{
		Servers: n.cfg.Media.ICEServers, Secret: n.cfg.Media.TURNSecret.Value(), Format: iceservers.KeyFormat(n.cfg.Media.TURNKey),
	})
	if err != nil {
		return fmt.Errorf("--ice-server: %w", err)
	}
	auth := n.cfg.Auth
	if !auth.On || auth.JWTSecret.IsZero() && auth.JWKSURL == nil {
		return nil
	}
	n.jwt, err = jwtauth.New(jwtauth.Config{
		Secret: auth.JWTSecret.Value(), JWKSURL: auth.JWKSURL, Audience: auth.Audience, Issuer: auth.Issuer, Kicks: n.tokens, Log: n.log,
	})
	return err
}

// publicConfig says what the public port serves once the node is ready.
func (n *node) publicConfig() httpapi.Config {
	cfg := httpapi.Config{
		Sessions: n.sessions, Nodes: n.calls, Self: n.advertisedURL(), Strict: n.cfg.Public.StrictETags, Origins: n.cfg.Public.CORSDomains,
		ICE: n.ice, Limits: ratelimit.New(n.cfg.Public.RatePerIP, n.cfg.Public.RatePerNode), Proxies: n.cfg.Public.TrustedProxies, Log: n.log,
	}
	switch {
	case n.jwt != nil:
		cfg.Tokens = n.jwt
	case n.cfg.Auth.On:
		cfg.Tokens = n.tokens
	case addrOf(n.public[0]).Addr().IsLoopback(): // it trusts whoever is on this machine, and so must know that they are
		cfg.Hosts = append([]string{n.cfg.Node.AdvertiseHost}, n.cfg.Public.CORSDomains...)
	}
	if n.cfg.Public.Site {
		cfg.Site = http.FileServerFS(site.FS)
	}
	if n.cfg.Dev {
		cfg.Control = n.controlHandler()
	}
	return cfg
}
