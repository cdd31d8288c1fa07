// Command mediad is a Weever media node: it takes publishers and viewers in, and carries their media to each other, on this node
// and across the others.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"weever/mediad/internal/config"
	"weever/mediad/internal/subcommand"
	"weever/mediad/internal/termination"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run parses, builds, runs and stops; it returns the exit code. The first SIGTERM or SIGINT ends the node cleanly, the second at once.
func run(args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stdout, stderr)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "mediad:", err)
		if errors.Is(err, config.ErrUsage) {
			return config.ExitUsage
		}
		return 1
	}
	ctx, release := termination.Context()
	defer release()
	switch c.Command {
	case config.CmdServe:
		err = serve(ctx, c.Serve, stdout, stderr)
	case config.CmdLoad:
		err = subcommand.Load(ctx, c.Load, stdout)
	case config.CmdCheck:
		err = subcommand.Check(ctx, c.Check, stdout)
	case config.CmdVersion:
		_, _ = fmt.Fprintln(stdout, "mediad", version)
	case config.CmdNone:
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(stderr, "mediad:", err)
		return 1
	}
	return 0
}

// serve runs a node until ctx ends.
func serve(ctx context.Context, cfg Config, stdout, stderr io.Writer) error {
	log := newLogger(cfg, stderr)
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "note", w)
	}
	if cfg.Dev {
		return serveDev(ctx, cfg, log, stdout)
	}
	n, err := newNode(cfg, log)
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

func newLogger(cfg Config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if cfg.LogJSON {
		h = slog.NewJSONHandler(w, opts)
	}
	return slog.New(h)
}
