// Package prometheus tests what is shipped for watching Weever: the configuration of Prometheus, its alerts, and the dashboard of
// infra/grafana, all with a real Prometheus and against the metrics that real nodes show.
package prometheus

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

const (
	configFile    = "prometheus.yml"
	alertsFile    = "alerts.yml"
	testsFile     = "alerts_test.yml"
	dashboardFile = "../grafana/dashboards/weever.json"
)

// server is a Prometheus of one test.
type server struct {
	t    testing.TB
	addr string // host:port
}

// startServer starts a Prometheus with the configuration config makes of its address; relative paths in it begin at dir.
func startServer(t testing.TB, dir string, config func(addr string) string) *server {
	t.Helper()
	bin, err := tool.Find("prometheus")
	if err != nil {
		t.Fatal(err)
	}
	p := proc.New(t, "prometheus")
	t.Cleanup(p.Stop)
	// Between choosing the port and binding it somebody else may take it: then another is chosen.
	for range 3 {
		s := &server{t: t, addr: "127.0.0.1:" + proc.FreePort(t, "127.0.0.1")}
		file := filepath.Join(dir, configFile)
		planted.Write(t, file, config(s.addr))
		err = p.Run(exec.Command(bin, "--config.file", file, "--storage.tsdb.path", filepath.Join(t.TempDir(), "data"),
			"--web.listen-address", s.addr), "Server is ready to receive web requests", proc.StartLimit)
		if err == nil {
			return s
		}
	}
	t.Fatalf("prometheus: %v", err)
	return nil
}

// startParser starts a Prometheus that is only to parse.
func startParser(t testing.TB) *server {
	t.Helper()
	return startServer(t, t.TempDir(), func(string) string { return "scrape_configs: []\n" })
}

// ask decodes the data of an answer of Prometheus' API; the error of a refusal is what it says.
func (s *server) ask(path string, values url.Values, into any) error {
	resp, err := http.Get("http://" + s.addr + "/api/v1/" + path + "?" + values.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, body)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// sample is one value of a query.
type sample struct {
	Metric map[string]string
	Value  [2]any // time and text
}

// number tells whether there is a number to draw: 0 divided by 0 is none.
func (s sample) number() bool { return s.Value[1] != "NaN" }

// query asks for the present values of an expression.
func (s *server) query(expr string) ([]sample, error) {
	var data struct{ Result []sample }
	err := s.ask("query", url.Values{"query": {expr}}, &data)
	return data.Result, err
}

// version is that of a tool which is written in Go.
func version(t testing.TB, name string) string {
	t.Helper()
	bin, err := tool.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return info.Main.Version
}

// patience is how long tests wait for what takes moments.
const patience = 30 * time.Second
