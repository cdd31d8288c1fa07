// Package reading turns the text of flags, as kong has read it, into values, and gathers all that is wrong with them.
//
// Only package config uses it: it says which flags there are and what each may be. The struct of the flags has text alone; its tags say the
// rest: a default that depends on the machine or on other flags is described in "shown"; the value of a "secret" is never printed; what is
// "inert" is read and checked, but nothing acts on it yet, and whoever gives it is told so.
package reading

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"weever/mediad/internal/flagval"
)

// Reader turns the text of flags into values and gathers what is wrong with them. It lives during one parse; its methods are called by one goroutine.
type Reader struct {
	flags  map[any]*kong.Flag    // by pointer to the field
	given  map[*kong.Flag]string // where it was given: as flag or variable; absent: nowhere
	faults []string
}

// New looks at where the flags of the selected command come from, and gives empty ones their default.
func New(ctx *kong.Context) *Reader {
	r := &Reader{flags: map[any]*kong.Flag{}, given: map[*kong.Flag]string{}}
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

// Faults are what is wrong, in the order in which it was found, without any secret.
func (r *Reader) Faults() []string { return r.faults }

// IsGiven reports whether the flag was set by the command line or a variable.
func (r *Reader) IsGiven(field any) bool { return r.given[r.flags[field]] != "" }

// Inert says which of the given flags nothing acts on yet.
func (r *Reader) Inert() (warnings []string) {
	for flag := range r.given {
		if flag.Tag.Has("inert") {
			warnings = append(warnings, "--"+flag.Name+" has no effect yet")
		}
	}
	slices.Sort(warnings)
	return warnings
}

// Reject notes a fault of one flag. The value is named unless it is or may hold a secret.
func (r *Reader) Reject(field any, value string, err error) {
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

// One parses a flag; the zero value if it is empty or bad.
func One[T any](r *Reader, field *string, parse func(string) (T, error)) (v T) {
	if *field == "" {
		return v
	}
	v, err := parse(*field)
	if err != nil {
		r.Reject(field, *field, err)
	}
	return v
}

// All parses a repeatable flag; empty parts do not count.
func All[T any](r *Reader, field *[]string, parse func(string) (T, error)) (vs []T) {
	for _, text := range *field {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		v, err := parse(text)
		if err != nil {
			r.Reject(field, text, err)
			continue
		}
		vs = append(vs, v)
	}
	return vs
}

// OnOff parses a Toggle; otherwise is what it is when it was not given.
func (r *Reader) OnOff(field *Toggle, otherwise bool) bool {
	if *field == "" {
		return otherwise
	}
	v, err := flagval.Switch(string(*field))
	if err != nil {
		r.Reject(field, string(*field), err)
	}
	return v
}

// Secret takes a secret from its flag or its file; both are a fault.
func (r *Reader) Secret(text, file *string) string {
	if *file == "" {
		return *text
	}
	if r.IsGiven(text) {
		r.Reject(file, *file, fmt.Errorf("must not be given together with --%s", r.flags[text].Name))
		return ""
	}
	s, err := flagval.SecretFile(*file)
	if err != nil {
		r.Reject(file, *file, err)
	}
	return s.Value()
}

// Named makes faults of the text at other be reported as those of flag field: for secrets that may come from a file.
func (r *Reader) Named(field, other any) *Reader {
	r.flags[other] = r.flags[field]
	return r
}

// Needs notes a fault of flags that do not go together.
func (r *Reader) Needs(ok bool, fault string) {
	if !ok {
		r.faults = append(r.faults, fault)
	}
}
