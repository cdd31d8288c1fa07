package reading

import "github.com/alecthomas/kong"

// This file is how flags look: on the command line and in the help.

// Toggle is the text of a flag that may stand without a value: "" when not given, else "true" or what was given.
type Toggle string

// Decode implements kong.MapperValue.
func (t *Toggle) Decode(ctx *kong.DecodeContext) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		*t = "true"
		return nil
	}
	return ctx.Scan.PopValueInto("switch", (*string)(t))
}

// IsBool implements kong.BoolMapperValue: no value need follow.
func (t *Toggle) IsBool() bool { return true }

// Describe is a flag's line in the help.
func Describe(v *kong.Value) string {
	text := Meaning(v)
	if shown := v.Tag.Get("shown"); shown != "" {
		text += " Default: " + shown + "."
	}
	if v.Flag != nil && len(v.Flag.Envs) > 0 {
		text += " [" + v.Flag.Envs[0] + "]"
	}
	return text
}

// Meaning is what a flag does, for the help and the README.
func Meaning(v *kong.Value) string {
	if v.Tag.Has("inert") {
		return v.Help + " No effect yet."
	}
	return v.Help
}
