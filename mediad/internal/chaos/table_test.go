package chaos

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what the table says of a fault.
type result struct {
	fault, bound string
	same         gap      // of what the fault must not touch: publisher and viewer at one node, mostly
	other        gap      // of everything else
	lost         int      // sessions
	stale        []string // what Redis has of the dead
	goroutines   int      // by which a node has grown
	took         time.Duration
	passed       bool
}

// printTable is what `make chaos` ends with.
func printTable(w io.Writer, results []result) {
	if len(results) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nfault\tgap, untouched\tgap, others\tsilence\tsessions lost\tstale records\tgoroutines\ttook\tverdict\tbound")
	for _, r := range results {
		verdict := "passed"
		if !r.passed {
			verdict = "FAILED"
		}
		fmt.Fprintln(t, strings.Join([]string{
			r.fault, millis(r.same.hole), millis(r.other.hole), millis(max(r.same.silence, r.other.silence)),
			strconv.Itoa(r.lost), strconv.Itoa(len(r.stale)), fmt.Sprintf("%+d", r.goroutines),
			fmt.Sprintf("%.0f s", r.took.Seconds()), verdict, r.bound,
		}, "\t"))
	}
	fmt.Fprint(t, "\ngap: the longest time of which nothing came, by the clock of the sending; silence: the longest in which nothing came at all,\n"+
		"on a machine that the clients share; goroutines: of a node, more than before its first session\n")
	_ = t.Flush()
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + " ms" }
