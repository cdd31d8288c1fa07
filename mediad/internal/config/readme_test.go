package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"weever/mediad/internal/config/reading"
)

var update = flag.Bool("update", false, "write the README's tables of flags instead of checking them")

// The README's tables of flags are made from the code: make readme
func TestREADMEListsTheFlags(t *testing.T) {
	const readme = "../../../README.md"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for marker, cmd := range map[string]Command{"config": CmdServe, "load": CmdLoad, "check": CmdCheck} {
		begin, end := "<!-- "+marker+":begin -->\n", "<!-- "+marker+":end -->"
		before, rest, ok := strings.Cut(want, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("the README lacks the markers %q and %q", begin, end)
		}
		want = before + begin + table(declared(t, cmd)) + end + after
	}
	if *update {
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Error("the README's tables of flags differ from the code; write them with: make readme")
	}
}

// table is a Markdown table of flags.
func table(flags []*kong.Flag) string {
	var b strings.Builder
	b.WriteString("| flag | variable | default | |\n|---|---|---|---|\n")
	for _, f := range flags {
		value := f.Tag.Get("shown")
		switch {
		case value == "" && f.HasDefault:
			value = "`" + f.Default + "`"
		case value == "":
			value = "–"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", f.Name, f.Envs[0], value, strings.ReplaceAll(reading.Meaning(f.Value), "|", `\|`))
	}
	return b.String()
}
