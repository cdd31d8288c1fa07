package prometheus

import (
	"encoding/json"
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

// dashboard is what the tests look at of Grafana's JSON; the rest is Grafana's own types' to check.
type dashboard struct {
	UID        string
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ Type, UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		Expr, LegendFormat string
		Datasource         struct{ Type, UID string }
	}
}

// units are those of Grafana that are used.
var units = []string{"none", "s", "bytes", "bps", "pps", "ops", "reqps", "percentunit"}

func parseDashboard(t testing.TB, text string) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expanded is an expression as Grafana sends it, with every node chosen.
func expanded(expr, window string) string {
	return strings.NewReplacer("$__rate_interval", window, "$node", ".*").Replace(expr)
}

// flaws are what is wrong with a dashboard.
func (d dashboard) flaws(s *server, words vocabulary) (list []string) {
	ids := map[int]string{}
	for i, p := range d.Panels {
		flaw := func(format string, args ...any) {
			list = append(list, fmt.Sprintf("%q: ", p.Title)+fmt.Sprintf(format, args...))
		}
		if other, taken := ids[p.ID]; taken || p.ID < 1 {
			flaw("its id %d is that of %q", p.ID, other)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			flaw("it is not on the page: %+v", g)
		}
		for _, o := range d.Panels[:i] {
			if q := o.GridPos; g.X < q.X+q.W && q.X < g.X+g.W && g.Y < q.Y+q.H && q.Y < g.Y+g.H {
				flaw("it lies on %q", o.Title)
			}
		}
		if p.Title == "" {
			flaw("it has no title")
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Description) < 30 || strings.Contains(p.Description, "\n") {
			flaw("its description is not a line that says what to do")
		}
		if !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
			flaw("its unit is %q", p.FieldConfig.Defaults.Unit)
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			flaw("it does not ask the chosen data source")
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				flaw("it asks %q, not the chosen data source", target.Datasource.UID)
			}
			labels, faults := s.check(words, expanded(target.Expr, "5m"))
			for _, f := range faults {
				flaw("%s", f)
			}
			for _, m := range regexp.MustCompile(`\{\{(.*?)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if faults == nil && !labels[m[1]] {
					flaw("its legend tells %s, which %s does not have", m[1], target.Expr)
				}
			}
			if !strings.Contains(target.Expr, `instance=~"$node"`) {
				flaw("it shows all nodes whatever is chosen: %s", target.Expr)
			}
		}
	}
	return list
}

func TestDashboard(t *testing.T) {
	s, words, text := startParser(t), ofNodes(t), planted.Read(t, dashboardFile)
	d := parseDashboard(t, text)
	for _, f := range d.flaws(s, words) {
		t.Error(f)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	used, expressions, panels := map[string]bool{}, 0, 0
	for _, p := range d.Panels {
		if p.Type != "row" {
			panels++
		}
		for i, target := range p.Targets {
			fmt.Fprintf(&rules, "  - {record: 'panel_%d_%d', expr: %q}\n", p.ID, i, expanded(target.Expr, "5m"))
			expressions++
			for _, name := range regexp.MustCompile(`weever_[a-z_]+`).FindAllString(target.Expr, -1) {
				used[name], used[ofHistogram.ReplaceAllString(name, "")] = true, true
			}
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	planted.Write(t, file, rules.String())
	tool.Call{}.Run(t, "promtool", "check", "rules", file)
	for name := range words.listed { // what a node shows and the dashboard does not
		if !used[name] && !slices.Contains(unshown, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
	tool.Checked(t, "promtool", version(t, "promtool"), fmt.Sprintf("%d expressions of %d panels of the dashboard", expressions, panels))
	tool.Checked(t, "prometheus", version(t, "prometheus"), "each metric, label, value and legend in them, beside what two nodes show")
}

// unshown are metrics that the dashboard leaves out, for others tell as much.
var unshown = []string{
	"weever_nodes_reaped_total", "weever_tracks_published", "weever_viewer_tracks", "weever_retransmitted_bytes_total", "weever_udp_bytes_total",
	"weever_udp_messages_total", "weever_nats_bytes_total",
}

// Each kind of mistake in a dashboard is found.
func TestWrongDashboardsAreFound(t *testing.T) {
	s, words, text := startParser(t), ofNodes(t), planted.Read(t, dashboardFile)
	for _, c := range []struct{ old, new, want string }{
		{"weever_rtp_sent_packets_total", "weever_rtp_sent_packet_total", "no node shows the metric"},
		{"by (role, state)", "by (role, stat)", "there is no label stat"},
		{`result=\"hit\"`, `result=\"hits\"`, `result is never "hits"`},
		{"{{role}} {{state}}", "{{role}} {{node}}", "its legend tells node"},
		{"sum (weever_ready", "sum ((weever_ready", "unclosed left parenthesis"},
		{`"id": 3,`, `"id": 2,`, "its id 2 is that of"},
		{`"x": 3, "y": 1}`, `"x": 2, "y": 1}`, "it lies on"},
		{`"unit": "pps"`, `"unit": "packets"`, `its unit is "packets"`},
		{`"description": "Nodes that take`, `"describe": "Nodes that take`, "its description is not"},
		{`"${datasource}"},
      "gridPos"`, `"P1"},
      "gridPos"`, "does not ask the chosen data source"},
		{`instance=~\"$node\"`, `instance=~\".*\"`, "whatever is chosen"},
	} {
		found := parseDashboard(t, planted.In(t, text, c.old, c.new)).flaws(s, words)
		if !strings.Contains(strings.Join(found, "\n"), c.want) {
			t.Errorf("%q for %q: found %q, not %q", c.new, c.old, found, c.want)
		}
	}
}

// Grafana's own types know every setting of the dashboard, and would not know others.
func TestGrafanaKnowsEverySetting(t *testing.T) {
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, dir := planted.Read(t, dashboardFile), t.TempDir()
	files := map[string]string{
		"right": text,
		"field": planted.In(t, text, `"fillOpacity"`, `"fillOpacty"`),
		"unit":  planted.In(t, text, `"unit": "pps"`, `"units": "pps"`),
		"type":  planted.In(t, text, `"type": "stat"`, `"type": "stats"`),
		"value": planted.In(t, text, `"displayMode": "list"`, `"displayMode": "lists"`),
		"grid":  planted.In(t, text, `"gridPos": {"h": 7`, `"gridPos": {"height": 7`),
		"query": planted.In(t, text, `"expr":`, `"expression":`),
	}
	args := []string{"--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"}
	for name, dashboard := range files {
		file := filepath.Join(dir, name+".ts")
		planted.Write(t, file, fmt.Sprintf("import type { Weever } from %q;\nexport const dashboard: Weever = %s;\n", filepath.Join(root, ".ci/tools/grafana/dashboard"), dashboard))
		args = append(args, file)
	}
	out := tool.Call{Dir: dir}.Refused(t, filepath.Join(root, ".ci/tools/site/node_modules/.bin/tsc"), args...)
	for name := range files {
		if refused := regexp.MustCompile(`(?m)^` + name + `\.ts\(`).MatchString(out); refused != (name != "right") {
			t.Errorf("%s.ts: refused: %v\n%.2000s", name, refused, out)
		}
	}
	var pkg struct{ DevDependencies map[string]string }
	if err := json.Unmarshal([]byte(planted.Read(t, filepath.Join(root, ".ci/tools/grafana/package.json"))), &pkg); err != nil {
		t.Fatal(err)
	}
	tool.Checked(t, "Grafana's schema", pkg.DevDependencies["@grafana/schema"], "the dashboard's settings, by type")
}

// Grafana is told where the data source and the dashboards are.
func TestProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			Editable                     bool
			JSONData                     map[string]string `yaml:"jsonData"`
		}
	}
	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type string
			DisableDeletion    bool `yaml:"disableDeletion"`
			AllowUIUpdates     bool `yaml:"allowUiUpdates"`
			Options            map[string]string
		}
	}
	for file, into := range map[string]any{"datasources/prometheus.yaml": &sources, "dashboards/weever.yaml": &boards} {
		d := yaml.NewDecoder(strings.NewReader(planted.Read(t, "../grafana/provisioning/"+file)))
		d.KnownFields(true)
		if err := d.Decode(into); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || !sources.Datasources[0].IsDefault ||
		!strings.Contains(planted.Read(t, configFile), "scrape_interval: "+sources.Datasources[0].JSONData["timeInterval"]+"\n") {
		t.Errorf("the data source is %+v", sources)
	}
	if len(boards.Providers) != 1 || boards.Providers[0].Options["path"] != "/var/lib/grafana/dashboards" {
		t.Errorf("the dashboards are %+v", boards)
	}
}
