// Command mediad is a Weever media node: it takes publishers and viewers in, and carries their media to each other, on this node
// and across the others.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"weever/mediad/internal/check"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/load"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run parses, builds, runs and stops; it returns the exit code. The first SIGTERM or SIGINT ends the node cleanly, the second at once.
func run(args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stdout, stderr)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "mediad:", err)
		if errors.Is(err, errUsage) {
			return exitUsage
		}
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from here on a signal has its default effect: it ends the process
	switch c.Command {
	case cmdServe:
		err = serve(ctx, c.Serve, stdout, stderr)
	case cmdLoad:
		err = runLoad(ctx, c.Load, stdout)
	case cmdCheck:
		err = runCheck(ctx, c.Check, stdout)
	case cmdVersion:
		_, _ = fmt.Fprintln(stdout, "mediad", version)
	case cmdNone:
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

// runCheck goes through the checklist with a server and prints the report. Its error says that a row failed that must hold, or
// that the check could not be done.
func runCheck(ctx context.Context, cfg CheckConfig, stdout io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("%v were not enough; see --timeout", cfg.Timeout))
	defer cancel()
	publish := ""
	if cfg.Publish != nil {
		publish = cfg.Publish.String()
	}
	report, err := check.Run(ctx, check.Config{
		Endpoint: cfg.Endpoint.String(), WHEP: cfg.WHEP, Token: cfg.Token.Value(), PublishURL: publish, PublishToken: cfg.PublishToken.Value(),
		Strict: cfg.Strict, Flood: cfg.Flood, Origin: cfg.Origin, Insecure: cfg.Insecure,
	})
	if report == nil {
		return err
	}
	write := report.WriteTable
	if cfg.JSON {
		write = report.WriteJSON
	}
	return errors.Join(err, write(stdout), report.Err())
}

// runLoad runs the load generator and prints its report.
func runLoad(ctx context.Context, cfg LoadConfig, stdout io.Writer) error {
	traffic := synth.Burst
	if cfg.Browser {
		traffic = synth.Browser
	}
	report, err := load.Run(ctx, load.Config{
		URL: cfg.URL.String(), Room: cfg.Room.String(), Pubs: cfg.Pubs, Subs: cfg.Subs, Duration: cfg.Duration,
		Token: cfg.Token.Value(), Insecure: cfg.Insecure, WHEP: cfg.WHEP, Traffic: traffic,
	})
	if err != nil {
		return err
	}
	if cfg.JSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	return report.WriteTable(stdout)
}
