package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/flagval"
)

// devStart bounds how long the embedded NATS may take to listen.
const devStart = 5 * time.Second

// devClock is the step in which the embedded Redis, which has no clock of its own, is told that time passes.
const devClock = 100 * time.Millisecond

// serveDev runs a node with its own Redis and NATS, both on loopback, and prints where to go.
func serveDev(ctx context.Context, cfg Config, log *slog.Logger, stdout io.Writer) error {
	backends, err := startDev(&cfg)
	if err != nil {
		return err
	}
	defer backends.close()
	n, err := newNode(cfg, log)
	if err != nil {
		return err
	}
	printURLs(stdout, n)
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx)) // the node drains when ctx ends, and needs its backends meanwhile
	g.Go(func() error { return backends.run(gctx) })
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

// devBackends are what a node needs besides itself.
type devBackends struct {
	redis *miniredis.Miniredis
	nats  *natsserver.Server
}

// startDev starts the backends that cfg does not name and enters them there.
func startDev(cfg *Config) (*devBackends, error) {
	b := &devBackends{}
	if cfg.Shared.Redis.IsZero() {
		b.redis = miniredis.NewMiniRedis()
		if err := b.redis.Start(); err != nil {
			return nil, fmt.Errorf("starting the embedded Redis: %w", err)
		}
		cfg.Shared.Redis = flagval.NewSecret("redis://" + b.redis.Addr())
	}
	if len(cfg.Shared.NATS) == 0 {
		srv, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
		if err != nil {
			b.close()
			return nil, fmt.Errorf("starting the embedded NATS: %w", err)
		}
		b.nats = srv
		srv.Start()
		if !srv.ReadyForConnections(devStart) {
			b.close()
			return nil, errors.New("the embedded NATS does not listen")
		}
		cfg.Shared.NATS = []flagval.Secret{flagval.NewSecret(srv.ClientURL())}
	}
	return b, nil
}

// run drives the clock of the embedded Redis until ctx ends.
func (b *devBackends) run(ctx context.Context) error {
	if b.redis == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(devClock)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			b.redis.FastForward(devClock)
		}
	}
}

func (b *devBackends) close() {
	if b.nats != nil {
		b.nats.Shutdown()
		b.nats.WaitForShutdown()
	}
	if b.redis != nil {
		b.redis.Close()
	}
}

// printURLs says where to go: localhost, which browsers trust with the camera even in the plain.
func printURLs(w io.Writer, n *node) {
	_, _ = fmt.Fprintln(w, "Weever is running; open in a browser:")
	for i := len(n.public) - 1; i >= 0; i-- {
		l := n.public[i]
		note := ""
		if l.scheme == "https" {
			note = "   (self-signed: the browser will warn)"
		}
		u := url.URL{Scheme: l.scheme, Host: strings.Replace(reachable(addrOf(l)), "127.0.0.1", "localhost", 1), Path: "/"}
		_, _ = fmt.Fprintf(w, "  %s%s\n", u.String(), note)
	}
	_, _ = fmt.Fprintf(w, "Private API: %s\n", n.PrivateURL())
}
