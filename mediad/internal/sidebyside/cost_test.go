package sidebyside

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/load"
)

// cost is what one round says of a server. What is not known is 0.
type cost struct {
	perPacket, user, system float64 // µs of CPU time for each packet delivered
	cores                   float64 // that the server kept busy: near 1 it had no more to give
	memory, rss             float64 // MB that a person added: heap in use and stacks; resident
	p50, p99                float64 // ms of latency, of video where there is some
	gaps, lost              float64 // share of packets that were lost at first, and in the end
	perMessage, perCall     float64 // packets that the kernel was given in a message, and in a system call
	loadCores               float64
	joined                  float64 // share of sessions that came about and were there to the end
}

// Counters of a node's UDP socket; see the README. perMessage and perCall need the last two.
const (
	udpPackets  = `weever_udp_packets_total{direction="out"}`
	udpMessages = `weever_udp_messages_total{direction="out"}`
	udpCalls    = `weever_udp_calls_total{direction="out"}`
)

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// costOf is for people who are the reason for what a server used.
func costOf(o outcome, u used, people int) cost {
	delivered := float64(o.Video.Packets + o.Audio.Packets)
	expected := float64(o.Video.Expected + o.Audio.Expected)
	per := func(n float64) float64 { return n / max(float64(people), 1) }
	each := func(n float64) float64 { return n / max(delivered, 1) }
	latency := o.Video.Latency
	if latency.Count == 0 {
		latency = o.Audio.Latency
	}
	c := cost{
		perPacket: each(us(u.cpu.sum)), user: each(us(u.cpu.share(u.cpu.user))), system: each(us(u.cpu.share(u.cpu.system))), cores: u.cpu.sum.Seconds() / o.elapsed.Seconds(),
		memory: per(u.memory) / 1e6, rss: per(u.rss) / 1e6, p50: latency.P50, p99: latency.P99,
		gaps: float64(o.Video.Gaps+o.Audio.Gaps) / max(expected, 1), lost: float64(o.Video.Missing+o.Audio.Missing) / max(expected, 1), loadCores: o.CPU,
	}
	wanted, there := 0, 0
	for _, j := range []load.Joins{o.Publishers, o.Subscribers} {
		wanted, there = wanted+j.Wanted, there+j.Joined-j.Ended
	}
	c.joined = float64(there) / max(float64(wanted), 1)
	if n := u.counted[udpMessages]; n > 0 {
		c.perMessage = u.counted[udpPackets] / n
	}
	if n := u.counted[udpCalls]; n > 0 {
		c.perCall = u.counted[udpPackets] / n
	}
	return c
}

// column is one number of a cost.
type column struct {
	name, format string
	of           func(*cost) *float64
	ratio        bool // worth a ratio
}

func columns() []column {
	return []column{
		{"µs/packet", "%.2f", func(c *cost) *float64 { return &c.perPacket }, true},
		{"user", "%.2f", func(c *cost) *float64 { return &c.user }, true},
		{"system", "%.2f", func(c *cost) *float64 { return &c.system }, true},
		{"cores", "%.2f", func(c *cost) *float64 { return &c.cores }, false},
		{"MB/person", "%.3f", func(c *cost) *float64 { return &c.memory }, true},
		{"RSS", "%.3f", func(c *cost) *float64 { return &c.rss }, true},
		{"p50 ms", "%.2f", func(c *cost) *float64 { return &c.p50 }, true},
		{"p99 ms", "%.2f", func(c *cost) *float64 { return &c.p99 }, true},
		{"gaps", "%.1e", func(c *cost) *float64 { return &c.gaps }, false},
		{"lost", "%.1e", func(c *cost) *float64 { return &c.lost }, false},
		{"pkt/msg", "%.2f", func(c *cost) *float64 { return &c.perMessage }, false},
		{"pkt/call", "%.2f", func(c *cost) *float64 { return &c.perCall }, false},
		{"load cores", "%.2f", func(c *cost) *float64 { return &c.loadCores }, false},
		{"joined", "%.2f", func(c *cost) *float64 { return &c.joined }, false},
	}
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// medians is the median of each number.
func medians(costs []cost) (m cost) {
	for _, c := range columns() {
		var all []float64
		for i := range costs {
			all = append(all, *c.of(&costs[i]))
		}
		*c.of(&m) = median(all)
	}
	return m
}

// ratios is the median of each number's ratios, round by round: what the machine does meanwhile befalls both.
func ratios(costs, to []cost) (m cost) {
	for _, c := range columns() {
		var all []float64
		for i := range costs {
			if below := *c.of(&to[i]); below > 0 {
				all = append(all, *c.of(&costs[i])/below)
			}
		}
		*c.of(&m) = median(all)
	}
	return m
}

// named is what was measured of one server.
type named struct {
	name  string
	costs []cost
}

// table prints servers line by line. With a ratio, a line follows with the last one's to the first.
func table(b *testing.B, ratio bool, rows ...named) {
	b.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "median of %d\n%-12s", len(rows[0].costs), "")
	for _, col := range columns() {
		fmt.Fprintf(&text, "%11s", col.name)
	}
	for _, r := range rows {
		r.print(&text, medians(r.costs), func(column) bool { return true })
	}
	if ratio {
		first, last := rows[0], rows[len(rows)-1]
		named{name: last.name + "/" + first.name}.print(&text, ratios(last.costs, first.costs), func(c column) bool { return c.ratio })
	}
	b.Log(text.String())
}

func (n named) print(text *strings.Builder, c cost, shown func(column) bool) {
	fmt.Fprintf(text, "\n%-12s", n.name)
	for _, col := range columns() {
		cell := ""
		if shown(col) {
			cell = fmt.Sprintf(col.format, *col.of(&c))
		}
		fmt.Fprintf(text, "%11s", cell)
	}
}
