package prometheus

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// vocabulary is what metrics there are: what the README lists, which is made from the code, and what real nodes show.
type vocabulary struct {
	listed map[string][]string                   // the README's, without what is added to histograms: labels
	shown  map[string]map[string]map[string]bool // metrics of nodes: labels: values
	later  map[string]bool                       // words of the code that are values of labels once something has happened
}

// target are the labels that Prometheus gives to all that it scrapes.
var target = []string{"instance", "job"}

var ofHistogram = regexp.MustCompile(`_(bucket|sum|count)$`)

// labels returns those of a metric.
func (v vocabulary) labels(metric string) (map[string]bool, bool) {
	have := set(target...)
	switch metric {
	case "up":
		return have, true
	case "ALERTS":
		maps.Copy(have, set("alertname", "alertstate", "severity", "backend"))
		return have, true
	}
	if listed, ok := v.listed[metric]; ok {
		maps.Copy(have, set(listed...))
		return have, true
	}
	base := ofHistogram.ReplaceAllString(metric, "")
	_, there := v.shown[metric]
	listed, ok := v.listed[base]
	if !there || !ok && strings.HasPrefix(metric, "weever_") {
		return have, false
	}
	maps.Copy(have, set(listed...))
	for l := range v.shown[metric] {
		have[l] = true
	}
	return have, true
}

// says tells whether a label of a metric can have a value.
func (v vocabulary) says(metric, label, value string) bool {
	if slices.Contains(target, label) || metric == "ALERTS" {
		return true
	}
	values := v.shown[metric][label]
	return values[value] || (label == "outcome" || label == "reason" && metric == "weever_session_ends_total") && v.later[value]
}

// readVocabulary reads the README and what nodes show.
func readVocabulary(t testing.TB, scrapes ...string) vocabulary {
	t.Helper()
	v := vocabulary{map[string][]string{}, map[string]map[string]map[string]bool{}, laterWords(t)}
	row := regexp.MustCompile("(?m)^\\| `(weever_[a-z_]+)` \\| [a-z]+ \\| (.*?) \\|")
	for _, m := range row.FindAllStringSubmatch(planted.Read(t, "../../README.md"), -1) {
		v.listed[m[1]] = strings.Fields(strings.Trim(strings.ReplaceAll(m[2], "`", ""), "–"))
	}
	line := regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? [^ ]+$`)
	pair := regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
	for _, text := range scrapes {
		lines := bufio.NewScanner(strings.NewReader(text))
		for lines.Scan() {
			m := line.FindStringSubmatch(lines.Text())
			if m == nil {
				continue
			}
			if v.shown[m[1]] == nil {
				v.shown[m[1]] = map[string]map[string]bool{}
			}
			for _, p := range pair.FindAllStringSubmatch(m[2], -1) {
				if v.shown[m[1]][p[1]] == nil {
					v.shown[m[1]][p[1]] = map[string]bool{}
				}
				v.shown[m[1]][p[1]][p[2]] = true
			}
		}
	}
	if len(v.listed) < 50 || len(v.shown) < 100 {
		t.Fatalf("only %d metrics are listed in the README and %d shown by nodes", len(v.listed), len(v.shown))
	}
	return v
}

// laterWords are those by which sessions count how joins went and why sessions ended.
func laterWords(t testing.TB) map[string]bool {
	t.Helper()
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for file, pattern := range map[string]string{
		"mediad/internal/session/stats.go": `"([a-z_]+)"`,       // outcomes and reasons
		"shared/apierr/apierr.go":          `Code = "([a-z-]+)`, // kinds of errors, which are outcomes, too
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
		if len(found) < 5 {
			t.Fatalf("%s has only %d words", file, len(found))
		}
		for _, m := range found {
			words[strings.ReplaceAll(m[1], "-", "_")] = true
		}
	}
	return words
}

// What nodes show has the labels that the README lists, and nothing of it is called otherwise.
func TestNodesShowWhatIsListed(t *testing.T) {
	words := ofNodes(t)
	for metric, labels := range words.shown {
		if !strings.HasPrefix(metric, "weever_") {
			continue
		}
		want, ok := words.listed[ofHistogram.ReplaceAllString(metric, "")]
		if !ok {
			want, ok = words.listed[metric]
		}
		have := slices.Sorted(maps.Keys(labels))
		have = slices.DeleteFunc(have, func(l string) bool { return l == "le" })
		if want = slices.Sorted(slices.Values(want)); !ok || !slices.Equal(have, want) {
			t.Errorf("%s has the labels %v, listed are %v (%v)", metric, have, want, ok)
		}
	}
}

// The checks find what is wrong.
func TestWrongExpressionsAreFound(t *testing.T) {
	s, words := startParser(t), ofNodes(t)
	for expr, want := range map[string]string{
		`weever_viewer`:                                         `no node shows the metric "weever_viewer"`,
		`weever_join_media_seconds_buckets`:                     `no node shows`,
		`rate(go_goroutine[5m])`:                                `no node shows`,
		`weever_rtp_sent_packets_total{kinds="video"}`:          `has no label kinds`,
		`weever_rtp_sent_packets_total{kind="vido"}`:            `kind is never "vido"`,
		`weever_backend_up{backend=~"redis|natz"}`:              `backend is never "natz"`,
		`weever_joins_total{outcome="overload"}`:                `outcome is never "overload"`,
		`sum by (node) (weever_viewers)`:                        `there is no label node`,
		`sum by (role) (sum by (state) (weever_sessions))`:      `there is no label role`,
		`sum without (stat) (weever_sessions)`:                  `there is no label stat`,
		`weever_viewers / on (codec) weever_publishers`:         `there is no label codec`,
		`histogram_quantile(0.5, sum(weever_viewers))`:          `there is no label le`,
		`sum(rate(weever_viewers[5m])`:                          `unclosed left parenthesis`,
		`weever_viewers / on (instance) group_left (region) up`: `there is no label region`,
	} {
		if _, faults := s.check(words, expr); !strings.Contains(strings.Join(faults, "\n"), want) {
			t.Errorf("%s: found %q, not %q", expr, faults, want)
		}
	}
	for _, expr := range []string{
		`sum by (role) (rate(weever_joins_total{outcome=~"internal|unavailable"}[5m])) / 2`,
		`histogram_quantile(0.95, sum by (le, backend) (rate(weever_backend_probe_seconds_bucket{backend="redis"}[5m])))`,
		`rate(process_cpu_seconds_total[5m]) and on (instance) weever_build_info`,
		`label_replace(up, "limit", "cpu", "", "") unless on (instance) weever_full{limit="cpu"}`,
	} {
		if _, faults := s.check(words, expr); faults != nil {
			t.Errorf("%s: %q", expr, faults)
		}
	}
}
