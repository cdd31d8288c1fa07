package systemd

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

const (
	unitFile = "mediad.service"  // the unit under test
	judge    = "systemd-analyze" //nolint:misspell // its name
)

// unit is a unit's settings: each name with its values in their order.
type unit map[string][]string

func readUnit(t *testing.T, file string) unit {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && line[0] != '#' {
			u[name] = append(u[name], value)
		}
	}
	return u
}

// one is the value of a setting that stands there once.
func (u unit) one(t *testing.T, name string) string {
	t.Helper()
	if len(u[name]) != 1 {
		t.Fatalf("%s: %s stands there %d times, want one", unitFile, name, len(u[name]))
	}
	return u[name][0]
}

// changed is a copy of the unit with a piece of its text replaced.
func changed(t *testing.T, old, next string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), unitFile)
	planted.Write(t, file, planted.Everywhere(t, planted.Read(t, unitFile), old, next))
	return file
}

// exposure is the most that systemd's own estimate may say: of 10 tenths each.
const exposure = "18"

func TestUnit(t *testing.T) {
	r := newRoot(t)
	if _, err := r.do(t, "dpkg", "--install", r.bring(t, newDeb(t))); err != nil {
		t.Fatal(err)
	}
	// Where it is installed, with what it starts. Any word is a fault: what systemd does not know it ignores.
	if out, err := r.do(t, judge, "verify", "/usr/lib/systemd/system/mediad.service"); err != nil || out != "" {
		t.Errorf("%s verify: %s, %v", judge, out, err)
	}
	for old, next := range map[string]string{
		"ProtectSystem=strict": "ProtectSystem=stricct", "NoNewPrivileges": "NoNewPrivilege", "/usr/bin/mediad": "/usr/bin/medad", "KillMode=mixed": "KillMode=kind",
	} {
		bad := r.bring(t, changed(t, old, next))
		if out, err := r.do(t, judge, "verify", bad); err == nil && out == "" {
			t.Errorf("%s does not see %s", judge, next)
		}
	}
	version := strings.Fields(tool.Call{}.Run(t, judge, "--version"))[1]
	tool.Checked(t, judge, version, "verify: the unit as it is installed")

	secure := []string{"security", "--offline=true", "--no-pager", "--threshold=" + exposure}
	tool.Call{}.Run(t, judge, append(secure, unitFile)...)
	for _, line := range []string{"DynamicUser=yes\n", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n", "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @keyring @memlock @setuid\n"} {
		tool.Call{}.Refused(t, judge, append(secure, changed(t, line, ""))...)
	}
	tool.Checked(t, judge, version, "security: exposure of the unit at most "+exposure+" of 100")

	u := readUnit(t, unitFile)
	if u.one(t, "Type") != "notify" || u.one(t, "WatchdogSec") != "60" || len(u["NotifyAccess"]) > 0 {
		t.Error("a node that hangs is not started again")
	}
	if u.one(t, "Restart") != "on-failure" || len(u["RestartPreventExitStatus"]) > 0 {
		t.Error("it is not started again after a crash, of which Go's exit code is 2")
	}
	number := func(name string) int {
		n, err := strconv.Atoi(u.one(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if tries := number("StartLimitBurst"); tries < 2 || tries*(number("RestartSec")+2) > number("StartLimitIntervalSec") {
		t.Error("a configuration that cannot be used is tried for ever")
	}
}

// callSets are systemd's sets of system calls, each with its calls and other sets.
func callSets(t *testing.T) map[string][]string {
	t.Helper()
	sets, set := map[string][]string{}, ""
	for line := range strings.Lines(tool.Call{}.Run(t, judge, "--no-pager", "syscall-filter")) {
		switch name := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			set = name
		case strings.HasPrefix(line, " ") && !strings.HasPrefix(name, "#"):
			sets[set] = append(sets[set], name)
		}
	}
	return sets
}

// allowed are the system calls that a unit's filters let through.
func allowed(t *testing.T, u unit) map[string]bool {
	t.Helper()
	sets, calls := callSets(t), map[string]bool{}
	var put func(name string, yes bool)
	put = func(name string, yes bool) {
		if !strings.HasPrefix(name, "@") {
			calls[name] = yes
			return
		}
		if len(sets[name]) == 0 {
			t.Fatalf("systemd knows no %s", name)
		}
		for _, n := range sets[name] {
			put(n, yes)
		}
	}
	for _, filter := range u["SystemCallFilter"] {
		list, not := strings.CutPrefix(filter, "~")
		for _, name := range strings.Fields(list) {
			put(name, !not)
		}
	}
	return calls
}

// outside lists what a traced program did that its unit forbids: system calls, and families of sockets.
func outside(t *testing.T, u unit, trace string) (faults []string) {
	t.Helper()
	calls := allowed(t, u)
	families := strings.Fields(u.one(t, "RestrictAddressFamilies"))
	for line := range strings.Lines(trace) {
		_, call, ok := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		name, args, isCall := strings.Cut(call, "(")
		if !ok || !isCall || strings.ContainsAny(name, " <+") { // a signal, an end, the rest of a call
			continue
		}
		if !calls[name] {
			faults = append(faults, name)
		}
		family, _, _ := strings.Cut(args, ",")
		if name == "socket" && !slices.Contains(families, family) {
			faults = append(faults, "socket "+family)
		}
	}
	slices.Sort(faults)
	return slices.Compact(faults)
}
