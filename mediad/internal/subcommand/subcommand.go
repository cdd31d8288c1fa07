// Package subcommand carries out what mediad does besides being a node: it puts load on a server, or checks one.
//
// main calls it with the configuration of the command line, of which it is a part: no other package but main knows it. Both return when they are done or their context ends; nothing outlives them.
package subcommand

import (
	"context"
	"errors"
	"fmt"
	"io"

	"weever/mediad/internal/check"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/config"
	"weever/mediad/internal/load"
)

// Check goes through the checklist with a server and prints the report. Its error says that a row failed that must hold, or that the
// check could not be done.
func Check(ctx context.Context, cfg config.Check, stdout io.Writer) error {
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

// Load runs the load generator and prints its report.
func Load(ctx context.Context, cfg config.Load, stdout io.Writer) error {
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
	write := report.WriteTable
	if cfg.JSON {
		write = report.WriteJSON
	}
	return write(stdout)
}
