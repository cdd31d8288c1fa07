// Package checklist says what a row of the checklist is, and holds what the rows of one run share: the server under test and the
// sessions that are opened on it.
//
// The groups of rows import it; package check makes the Run, has the rows judged one after the other and closes what they leave.
package checklist

import (
	"context"
	"fmt"
	"strings"
	"unicode"
)

// Level is how much a row matters (RFC 2119).
type Level string

// The levels.
const (
	Must   Level = "M"
	Should Level = "S"
	May    Level = "O"
)

// Status is what came of a row.
type Status string

// The statuses. Warn is for what is allowed but hurts some clients, and for what could be seen only in part.
const (
	Pass Status = "pass"
	Fail Status = "FAIL"
	Warn Status = "warn"
	None Status = "n/a" // not observed, for the reason given
)

// Verdict is the outcome of a row, with one line about what was sent and got.
type Verdict struct {
	Status   Status
	Evidence string
}

// Row is one line of the checklist.
type Row struct {
	ID        string
	Level     Level
	Statement string // what must hold, in a few words
	Judge     func(ctx context.Context, r *Run) Verdict
}

// Passed is the verdict of a row that was seen to hold.
func Passed(format string, args ...any) Verdict { return verdict(Pass, format, args) }

// Failed is the verdict of a row that was seen not to hold.
func Failed(format string, args ...any) Verdict { return verdict(Fail, format, args) }

// Warned is the verdict between the two.
func Warned(format string, args ...any) Verdict { return verdict(Warn, format, args) }

// NotSeen is the verdict of a row that nothing was observed of.
func NotSeen(format string, args ...any) Verdict { return verdict(None, format, args) }

func verdict(s Status, format string, args []any) Verdict {
	return Verdict{s, fmt.Sprintf(format, args...)}
}

// When is Passed if ok, else Failed.
func When(ok bool, format string, args ...any) Verdict {
	if ok {
		return verdict(Pass, format, args)
	}
	return verdict(Fail, format, args)
}

// NotHere makes the row of something that cannot be observed from outside.
func NotHere(id string, level Level, statement, reason string) Row {
	return Row{id, level, statement, func(context.Context, *Run) Verdict { return NotSeen("%s", reason) }}
}

const maxEvidence = 300 // characters

// Clean makes one line of a text that a server had a part in, without any of the secrets.
func Clean(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) > 3 { // shorter ones are no secrets, and would make holes in words
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text)
	if runes := []rune(text); len(runes) > maxEvidence {
		text = string(runes[:maxEvidence-1]) + "…"
	}
	return strings.TrimSpace(text)
}
