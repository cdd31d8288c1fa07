package terraform

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// scripts are all that instances run, before Terraform writes them into user-data.
func scripts(t *testing.T) (list []string) {
	t.Helper()
	for _, pattern := range []string{"files/*.sh", "modules/*/files/*.sh"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		list = append(list, found...)
	}
	return list
}

func TestScriptsAreShell(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		for _, file := range scripts(t) {
			tool.Call{}.Run(t, shell, "-n", file)
		}
		tool.Call{Stdin: "if true; then\n"}.Refused(t, shell, "-n")
		tool.Checked(t, shell, "-n", "the scripts of infra/terraform's instances")
	}
}

// execLine names programs that are not on this machine.
var execLine = regexp.MustCompile(`(?m)^(Exec\w+)=/(usr/bin/mediad|usr/local/bin/\S+|opt/weever/\S+)`)

const analyzer = "systemd-analyze" //nolint:misspell // its name

// verify tells what systemd says of units, each with its drop-ins, and of nothing else.
func verify(t *testing.T, change func(text string) string) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range map[string]string{
		"nats-server.service": "modules/bus/files/nats-server.service", "consul.service": "modules/discovery/files/consul.service",
		"weever-drain.service": "modules/mediad/files/weever-drain.service", "mediad.service": "../systemd/mediad.service",
		"mediad.service.d/10-node.conf": "modules/mediad/files/10-node.conf",
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		planted.Write(t, filepath.Join(dir, name), change(execLine.ReplaceAllString(string(data), "$1=/bin/true")))
	}
	var said strings.Builder
	for _, unit := range []string{"nats-server", "consul", "weever-drain", "mediad"} {
		call := tool.Call{Dir: dir, Env: []string{"SYSTEMD_UNIT_PATH=" + dir + ":/usr/lib/systemd/system:/lib/systemd/system"}}
		said.WriteString(call.Run(t, "sh", "-c", analyzer+" verify --man=no "+unit+".service 2>&1 || true"))
	}
	return said.String()
}

func TestUnitsAreWhatSystemdKnows(t *testing.T) {
	if said := verify(t, func(s string) string { return s }); said != "" {
		t.Errorf("systemd says:\n%s", said)
	}
	v := word(tool.Call{}.Run(t, analyzer, "--version"), 1)
	tool.Checked(t, analyzer, v, "the units of infra/terraform's instances (verify)")
	for _, m := range []struct{ old, new, says string }{
		{"LoadCredential=", "LoadCredentials=", "'LoadCredentials' in section"},
		{"RestartSec=1", "RestartSec=soon", "Failed to parse"},
		{"Type=notify", "Type=notifies", "Failed to parse service type"},
		{"ExecStart=/bin/true", "ExecStart=/no/such/program", "/no/such/program"},
	} {
		if said := verify(t, func(s string) string { return strings.Replace(s, m.old, m.new, 1) }); !strings.Contains(said, m.says) {
			t.Errorf("%s was not found, systemd says:\n%s", m.new, said)
		}
	}
	tool.Checked(t, analyzer, v, "negative: four planted mistakes in units are found")
}
