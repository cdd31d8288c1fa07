package chaos

import (
	"strings"
	"testing"
	"time"
)

// The table has a line for each fault that came, and says which of them failed.
func TestTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	printTable(&out, nil)
	if out.Len() > 0 {
		t.Errorf("a table of nothing: %s", &out)
	}
	printTable(&out, []result{
		{fault: "first", passed: true, other: gap{hole: 42 * time.Millisecond, silence: time.Second}, lost: 3, bound: "5 s"},
		{fault: "second", stale: []string{"lease of node-0"}, goroutines: -1},
	})
	for _, want := range []string{
		"fault   gap, untouched", "first   0 ms            42 ms        1000 ms  3              0              +0          0 s   passed   5 s\n",
		"second  0 ms            0 ms         0 ms     0              1              -1          0 s   FAILED",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}
