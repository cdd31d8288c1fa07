package metrics

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write the README's table of metrics instead of checking it")

// The README's table of metrics is made from the code: make readme
func TestREADMEListsTheMetrics(t *testing.T) {
	const readme, begin, end = "../../../README.md", "<!-- metrics:begin -->\n", "<!-- metrics:end -->"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("the README lacks the markers %q and %q", begin, end)
	}
	want := before + begin + markdown() + end + after
	if *update {
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Error("the README's table of metrics differs from the code; write it with: make readme")
	}
}

// row is a line of the README's table.
type row struct{ name, kind, labels, help string }

// rows are all metrics of the node's own.
func rows() []row {
	var list []row
	for _, f := range families() {
		kind := "gauge"
		if f.kind == prometheus.CounterValue {
			kind = "counter"
		}
		list = append(list, row{prefix + f.name, kind, quoted(f.labels), f.help})
	}
	for _, d := range declared() {
		list = append(list, row{prefix + d.name, d.kind, quoted(d.labels), d.help})
	}
	slices.SortFunc(list, func(a, b row) int { return strings.Compare(a.name, b.name) })
	return list
}

func quoted(labels []string) string {
	if len(labels) == 0 {
		return "–"
	}
	return "`" + strings.Join(labels, "` `") + "`"
}

// markdown is the README's table.
func markdown() string {
	var b strings.Builder
	b.WriteString("| name | type | labels | |\n|---|---|---|---|\n")
	for _, r := range rows() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.name, r.kind, r.labels, strings.ReplaceAll(r.help, "|", `\|`))
	}
	return b.String()
}
