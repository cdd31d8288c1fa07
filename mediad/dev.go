package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/embedded"
	"weever/mediad/internal/flagval"
	"weever/mediad/internal/webserver"
)

// serveDev runs a node with its own Redis and NATS, both on loopback, and prints where to go.
func serveDev(ctx context.Context, cfg Config, log *slog.Logger, stdout io.Writer) error {
	backends, err := startDev(&cfg)
	if err != nil {
		return err
	}
	defer backends.Close()
	n, err := newNode(cfg, log)
	if err != nil {
		return err
	}
	printURLs(stdout, n)
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx)) // the node drains when ctx ends, and needs its backends meanwhile
	g.Go(func() error { return backends.Run(gctx) })
	g.Go(func() error {
		nctx, cancel := context.WithCancel(ctx)
		defer cancel()
		context.AfterFunc(gctx, cancel)
		err := n.Run(nctx)
		if err == nil {
			err = context.Canceled // ends the clock
		}
		return err
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// startDev starts the backends that cfg does not name and enters them there.
func startDev(cfg *Config) (*embedded.Backends, error) {
	b, err := embedded.Start(cfg.Shared.Redis.IsZero(), len(cfg.Shared.NATS) == 0)
	if err != nil {
		return nil, err
	}
	if b.Redis != nil {
		cfg.Shared.Redis = flagval.NewSecret(b.Redis.URL())
	}
	if b.NATS != nil {
		cfg.Shared.NATS = []flagval.Secret{flagval.NewSecret(b.NATS.URL())}
	}
	return b, nil
}

// printURLs says where to go: localhost, which browsers trust with the camera even in the plain.
func printURLs(w io.Writer, n *node) {
	_, _ = fmt.Fprintln(w, "Weever is running; open in a browser:")
	for i := len(n.public) - 1; i >= 0; i-- {
		l := n.public[i]
		note := ""
		if l.Scheme == "https" {
			note = "   (self-signed: the browser will warn)"
		}
		u := url.URL{Scheme: l.Scheme, Host: strings.Replace(webserver.Reachable(l), "127.0.0.1", "localhost", 1), Path: "/"}
		_, _ = fmt.Fprintf(w, "  %s%s\n", u.String(), note)
	}
	_, _ = fmt.Fprintf(w, "Private API: %s\n", n.PrivateURL())
}
