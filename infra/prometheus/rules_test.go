package prometheus

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// rule is an alert.
type rule struct {
	Alert, Expr         string
	For                 string
	Labels, Annotations map[string]string
}

func alerts(t testing.TB, text string) (list []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

// flaws are what is wrong with an alert, besides what promtool finds.
func flaws(s *server, words vocabulary, readme string, r rule) (list []string) {
	flaw := func(format string, args ...any) {
		list = append(list, r.Alert+": "+fmt.Sprintf(format, args...))
	}
	labels, faults := s.check(words, r.Expr)
	for _, f := range faults {
		flaw("%s", f)
	}
	if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
		flaw("its severity is %q", r.Labels["severity"])
	}
	for _, name := range []string{"summary", "description", "runbook"} {
		if r.Annotations[name] == "" {
			flaw("it has no %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(fmt.Sprint(r.Annotations), -1) {
		if labels != nil && !labels[m[1]] {
			flaw("it tells the label %s, which its result does not have", m[1])
		}
	}
	if want := "infra/prometheus/README.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
		flaw("its runbook is %q, not %q", r.Annotations["runbook"], want)
	}
	if !strings.Contains(readme, "\n### "+r.Alert+"\n") {
		flaw("README.md has no section of that name")
	}
	return list
}

func TestAlerts(t *testing.T) {
	s, words, readme := startParser(t), ofNodes(t), planted.Read(t, "README.md")
	text := planted.Read(t, alertsFile)
	tool.Call{}.Run(t, "promtool", "check", "rules", "--lint=all", "--lint-fatal", alertsFile)
	list := alerts(t, text)
	if len(list) == 0 || len(list) > 16 {
		t.Errorf("%d alerts: more than 16 are not read, none is no help", len(list))
	}
	for _, r := range list {
		for _, f := range flaws(s, words, readme, r) {
			t.Error(f)
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (Weever\w+)$`).FindAllStringSubmatch(readme, -1) {
		if !strings.Contains(text, "alert: "+heading[1]+"\n") {
			t.Errorf("README.md has a section %s, but there is no such alert", heading[1])
		}
	}
	tool.Checked(t, "prometheus", version(t, "prometheus"), fmt.Sprintf("each metric, label and value in the %d alerts, beside what two nodes show", len(list)))
}

// Each kind of mistake in an alert is found.
func TestWrongAlertsAreFound(t *testing.T) {
	s, words, readme := startParser(t), ofNodes(t), planted.Read(t, "README.md")
	text := planted.Read(t, alertsFile)
	for _, c := range []struct{ old, new, want string }{
		{"weever_fence_cuts_total", "weever_fence_cut_total", "no node shows the metric"},
		{`reason="not_connected"`, `reason="not_connecting"`, "is never"},
		{"count by (backend)", "count by (backends)", "there is no label backends"},
		{"{{ $labels.backend }}", "{{ $labels.node }}", "it tells the label node"},
		{"labels: {severity: critical}", "labels: {severity: urgent}", `its severity is "urgent"`},
		{"          summary: No node takes new sessions.\n", "", "it has no summary"},
		{"#weevernodedown", "#weevernodedwn", "its runbook is"},
		{"alert: WeeverDrainStuck", "alert: WeeverDrainStuk", "README.md has no section"},
	} {
		var found []string
		for _, r := range alerts(t, planted.In(t, text, c.old, c.new)) {
			found = append(found, flaws(s, words, readme, r)...)
		}
		if !strings.Contains(strings.Join(found, "\n"), c.want) {
			t.Errorf("%q for %q: found %q, not %q", c.new, c.old, found, c.want)
		}
	}
	broken := filepath.Join(t.TempDir(), alertsFile)
	planted.Write(t, broken, planted.In(t, text, "weever_draining == 1 and", "weever_draining == 1 &&"))
	if out := (tool.Call{}).Refused(t, "promtool", "check", "rules", broken); !strings.Contains(out, "WeeverDrainStuck") {
		t.Errorf("promtool does not name the alert: %s", out)
	}
}

// Each alert fires when its test says so, and is silent when it says so; the tests notice one that never fires, or always.
func TestAlertsFire(t *testing.T) {
	tool.Call{}.Run(t, "promtool", "test", "rules", testsFile)
	text, tests := planted.Read(t, alertsFile), planted.Read(t, testsFile)
	list := alerts(t, text)
	for name, expr := range map[string]string{"never": "vector(1) == 0", "always": `label_replace(vector(1), "never", "there", "", "")`} {
		dir := t.TempDir()
		planted.Write(t, filepath.Join(dir, alertsFile), withExpr(t, text, expr))
		planted.Write(t, filepath.Join(dir, testsFile), tests)
		out := tool.Call{Dir: dir}.Refused(t, "promtool", "test", "rules", testsFile)
		for _, r := range list {
			if !strings.Contains(out, r.Alert) {
				t.Errorf("no test notices that %s fires %s", r.Alert, name)
			}
		}
	}
	tool.Checked(t, "promtool", version(t, "promtool"), fmt.Sprintf("that each of %d alerts fires when it must, is silent when it must, and that its test would notice", len(list)))
}

// withExpr makes every alert of a file have another expression.
func withExpr(t testing.TB, text, expr string) string {
	t.Helper()
	var file yaml.Node
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	var set func(*yaml.Node)
	set = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && child.Value == "expr" && i%2 == 0 {
				n.Content[i+1].Value, n.Content[i+1].Style = expr, yaml.DoubleQuotedStyle
			}
			set(child)
		}
	}
	set(&file)
	out, err := yaml.Marshal(&file)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestConfiguration(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{configFile, alertsFile} {
		planted.Write(t, filepath.Join(dir, name), planted.Read(t, name))
	}
	if out := (tool.Call{Dir: dir}).Refused(t, "promtool", "check", "config", configFile); !strings.Contains(out, "admin-token") {
		t.Errorf("a missing admin token is not named: %s", out)
	}
	planted.Write(t, filepath.Join(dir, "admin-token"), adminToken)
	tool.Call{Dir: dir}.Run(t, "promtool", "check", "config", configFile)
	planted.Write(t, filepath.Join(dir, configFile), planted.In(t, planted.Read(t, configFile), "services:", "service:"))
	if out := (tool.Call{Dir: dir}).Refused(t, "promtool", "check", "config", configFile); !strings.Contains(out, "service") {
		t.Errorf("a misspelt setting is not named: %s", out)
	}
	tool.Checked(t, "promtool", version(t, "promtool"), "prometheus.yml and alerts.yml, and that mistakes in them are refused")
}
