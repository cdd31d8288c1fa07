package prometheus

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weever/shared/eventually"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// live gives the shipped configuration other addresses, and looks each second, to be quick.
func (c *cluster) live(t testing.TB, addr string) string {
	t.Helper()
	text := planted.Read(t, configFile)
	for _, r := range [][2]string{
		{"server: consul:8500", "server: " + c.consul},
		{"${1}:9443", "${1}:" + c.privatePort},
		{"[localhost:9090]", "[" + addr + "]"},
		{"scrape_interval: 15s", "scrape_interval: 1s"},
		{"evaluation_interval: 15s", "evaluation_interval: 1s"},
		{"refresh_interval: 10s", "refresh_interval: 1s"},
	} {
		text = planted.In(t, text, r[0], r[1])
	}
	return text
}

// What is shipped finds real nodes in a real Consul, and every expression of the dashboard has something to show. A node that dies and an
// admin token that is wrong are seen.
func TestLive(t *testing.T) {
	c := startCluster(t)
	planted.Write(t, filepath.Join(c.dir, alertsFile), planted.Read(t, alertsFile))
	s := startServer(t, c.dir, func(addr string) string { return c.live(t, addr) })
	eventually.Nil(t, patience, "both nodes", func() error { return s.instances(2, "node-1", "node-2") })

	text := planted.Read(t, dashboardFile)
	d := parseDashboard(t, text)
	total := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			total++
			eventually.Nil(t, patience, "a number in "+p.Title, func() error {
				found, err := s.query(expanded(target.Expr, "10s"))
				if err == nil && !slices.ContainsFunc(found, sample.number) && !strings.Contains(target.Expr, "> 0)") { // what is above 0 may be nothing
					err = fmt.Errorf("no number: %s", target.Expr)
				}
				return err
			})
		}
	}
	s.healthy(t, len(alerts(t, planted.Read(t, alertsFile))))
	s.draw(t, text, d)
	c.stop()
	tool.Checked(t, "prometheus", version(t, "prometheus"), fmt.Sprintf("prometheus.yml with Consul and two nodes under load: data for %d expressions of the dashboard", total))

	c.nodes[1].Stop()
	eventually.Nil(t, patience, "the alert of a dead node", func() error {
		found, err := s.query(`ALERTS{alertname="WeeverNodeDown"}`)
		if err == nil && (len(found) != 1 || found[0].Metric["instance"] != "node-2") {
			err = fmt.Errorf("%v", found)
		}
		return err
	})
	planted.Write(t, filepath.Join(c.dir, "admin-token"), "another")
	eventually.Nil(t, patience, "the refusal of a wrong token", func() error { return s.instances(0) })
}

// instances compares how many nodes answer, and which those are.
func (s *server) instances(n int, want ...string) error {
	var data struct {
		ActiveTargets []struct {
			Labels            map[string]string
			Health, LastError string
		}
	}
	if err := s.ask("targets", nil, &data); err != nil {
		return err
	}
	var up, errs []string
	for _, target := range data.ActiveTargets {
		if target.Labels["job"] != "weever-mediad" {
			continue
		}
		if errs = append(errs, target.LastError); target.Health == "up" {
			up = append(up, target.Labels["instance"])
		}
	}
	slices.Sort(up)
	if len(up) != n || n > 0 && !slices.Equal(up, want) {
		return fmt.Errorf("up: %v, %q", up, errs)
	}
	if n == 0 && !strings.Contains(fmt.Sprint(errs), "401") {
		return fmt.Errorf("for another reason: %q", errs)
	}
	return nil
}

// healthy fails the test unless all rules can be evaluated and none fires.
func (s *server) healthy(t *testing.T, rules int) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	if err := s.ask("rules", nil, &data); err != nil {
		t.Fatal(err)
	}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			rules--
			if r.Health != "ok" || r.State == "firing" {
				t.Errorf("%s: %s, %s: %s", r.Name, r.Health, r.State, r.LastError)
			}
		}
	}
	if rules != 0 {
		t.Errorf("%d alerts are missing", rules)
	}
}
