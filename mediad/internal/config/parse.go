package config

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"weever/mediad/internal/flagval"
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
	r := newReader(ctx)
	c := &CLI{Command: Command(ctx.Selected().Name)}
	switch c.Command {
	case CmdServe:
		c.Serve = r.serve(&flags.Serve)
	case CmdLoad:
		c.Load = r.load(&flags.Load)
	case CmdCheck:
		c.Check = r.check(&flags.Check)
	}
	if len(r.faults) > 0 {
		return nil, fmt.Errorf("%w:\n  %s", ErrUsage, strings.Join(r.faults, "\n  "))
	}
	return c, nil
}

// parser is kong for our flags.
func parser(flags *cliFlags, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(flags, append(options, kong.Name("mediad"), kong.DefaultEnvars("WEEVER"), kong.ValueFormatter(describe), kong.Help(help),
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

// describe is a flag's line in the help.
func describe(v *kong.Value) string {
	text := meaning(v)
	if shown := v.Tag.Get("shown"); shown != "" {
		text += " Default: " + shown + "."
	}
	if v.Flag != nil && len(v.Flag.Envs) > 0 {
		text += " [" + v.Flag.Envs[0] + "]"
	}
	return text
}

// meaning is what a flag does, for the help and the README.
func meaning(v *kong.Value) string {
	if v.Tag.Has("inert") {
		return v.Help + " No effect yet."
	}
	return v.Help
}

// reader turns the text of flags into values and gathers what is wrong with them. It lives during Parse.
type reader struct {
	flags  map[any]*kong.Flag    // by pointer to the field of cliFlags
	given  map[*kong.Flag]string // where it was given: as flag or variable; absent: nowhere
	faults []string
}

// newReader looks at where the flags of the selected command come from, and gives empty ones their default.
func newReader(ctx *kong.Context) *reader {
	r := &reader{flags: map[any]*kong.Flag{}, given: map[*kong.Flag]string{}}
	for _, flag := range ctx.Selected().Flags {
		r.flags[flag.Target.Addr().Interface()] = flag
		if len(flag.Envs) > 0 && os.Getenv(flag.Envs[0]) != "" {
			r.given[flag] = flag.Envs[0]
		}
	}
	for _, part := range ctx.Path {
		if part.Flag != nil {
			r.given[part.Flag] = "--" + part.Flag.Name
		}
	}
	for field, flag := range r.flags {
		switch field := field.(type) {
		case *string:
			if *field == "" {
				*field = flag.Default
				delete(r.given, flag)
			}
		case *[]string:
			if strings.Join(*field, "") == "" {
				*field = strings.Split(flag.Default, ",")
				delete(r.given, flag)
			}
		}
	}
	return r
}

// isGiven reports whether the flag was set by the command line or a variable.
func (r *reader) isGiven(field any) bool { return r.given[r.flags[field]] != "" }

// inert says which of the given flags nothing acts on yet.
func (r *reader) inert() (warnings []string) {
	for flag := range r.given {
		if flag.Tag.Has("inert") {
			warnings = append(warnings, "--"+flag.Name+" has no effect yet")
		}
	}
	slices.Sort(warnings)
	return warnings
}

// reject notes a fault of one flag. The value is named unless it is or may hold a secret.
func (r *reader) reject(field any, value string, err error) {
	flag := r.flags[field]
	text := "--" + flag.Name
	if !flag.Tag.Has("secret") {
		text += fmt.Sprintf(" %q", value)
	}
	if from := r.given[flag]; from != "" && !strings.HasPrefix(from, "--") {
		text += " (from " + from + ")"
	}
	r.faults = append(r.faults, text+": "+err.Error())
}

// one parses a flag; the zero value if it is empty or bad.
func one[T any](r *reader, field *string, parse func(string) (T, error)) (v T) {
	if *field == "" {
		return v
	}
	v, err := parse(*field)
	if err != nil {
		r.reject(field, *field, err)
	}
	return v
}

// all parses a repeatable flag; empty parts do not count.
func all[T any](r *reader, field *[]string, parse func(string) (T, error)) (vs []T) {
	for _, text := range *field {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		v, err := parse(text)
		if err != nil {
			r.reject(field, text, err)
			continue
		}
		vs = append(vs, v)
	}
	return vs
}

// onOff parses a toggle.
func (r *reader) onOff(field *toggle, otherwise bool) bool {
	if *field == "" {
		return otherwise
	}
	v, err := flagval.Switch(string(*field))
	if err != nil {
		r.reject(field, string(*field), err)
	}
	return v
}

// secret takes a secret from its flag or its file; both are a fault.
func (r *reader) secret(text, file *string) string {
	if *file == "" {
		return *text
	}
	if r.isGiven(text) {
		r.reject(file, *file, fmt.Errorf("must not be given together with --%s", r.flags[text].Name))
		return ""
	}
	s, err := flagval.SecretFile(*file)
	if err != nil {
		r.reject(file, *file, err)
	}
	return s.Value()
}

// named makes faults of the text at other be reported as those of flag field: for secrets that may come from a file.
func (r *reader) named(field, other any) *reader {
	r.flags[other] = r.flags[field]
	return r
}

// needs notes a fault of flags that do not go together.
func (r *reader) needs(ok bool, fault string) {
	if !ok {
		r.faults = append(r.faults, fault)
	}
}
