package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"weever/mediad/internal/config/reading"
)

// Parse reads the command line and the WEEVER_ variables; a flag wins over its variable, and an empty value is the default. It
// prints the help, when asked, to stdout. Its error wraps ErrUsage and lists all faults, one per line, without any secret.
func Parse(args []string, stdout, stderr io.Writer) (*CLI, error) {
	var flags cliFlags
	helped := false
	k, err := parser(&flags, kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }))
	if err != nil {
		return nil, err
	}
	ctx, err := k.Parse(args)
	if helped {
		return &CLI{Command: CmdNone}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	r := reader{reading.New(ctx)}
	c := &CLI{Command: Command(ctx.Selected().Name)}
	switch c.Command {
	case CmdServe:
		c.Serve = r.serve(&flags.Serve)
	case CmdLoad:
		c.Load = r.load(&flags.Load)
	case CmdCheck:
		c.Check = r.check(&flags.Check)
	}
	if len(r.Faults()) > 0 {
		return nil, fmt.Errorf("%w:\n  %s", ErrUsage, strings.Join(r.Faults(), "\n  "))
	}
	return c, nil
}

// reader resolves the flags of one command into its configuration.
type reader struct{ *reading.Reader }

// parser is kong for our flags.
func parser(flags *cliFlags, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(flags, append(options, kong.Name("mediad"), kong.DefaultEnvars("WEEVER"), kong.ValueFormatter(reading.Describe), kong.Help(help),
		kong.Description("Weever media node: a WebRTC SFU whose rooms are not tied to a machine."))...)
}

// help shows the flags of serve, too, when no command was named: it is the default.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() == nil {
		for _, cmd := range ctx.Model.Children {
			if cmd.Name == string(CmdServe) {
				ctx.Model.Flags = append(ctx.Model.Flags, cmd.Flags...)
			}
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}
