package systemd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/tool"
)

const (
	settings = "/etc/default/mediad"
	theirs   = "WEEVER_PLAIN_HTTP=on # ours\n"
	wants    = "/etc/systemd/system/multi-user.target.wants/mediad.service"
)

// lifecycle installs the old version, changes its settings, enables it, upgrades, removes and purges, all with the real programs, and
// lists what is not as it should be.
func lifecycle(t *testing.T, old, next string) (faults []string) {
	t.Helper()
	r := newRoot(t)
	next = r.bring(t, repacked(t, next, func(dir string) error { // its default settings differ, too
		return appendTo(filepath.Join(dir, settings), "# new in this version\n")
	}))
	do := func(name string, args ...string) {
		if out, err := r.do(t, name, args...); err != nil {
			faults = append(faults, err.Error())
		} else if name == "systemctl" || strings.Contains(out, "warning") {
			t.Logf("%s %v: %s", name, args, out)
		}
	}
	must := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, fault)
		}
	}
	do("dpkg", "--install", r.bring(t, old))
	must(!r.has(wants), "installing enables it")
	if out, err := r.do(t, "dpkg", "--verify", "mediad"); err != nil || out != "" {
		faults = append(faults, fmt.Sprintf("installed files differ: %s, %v", out, err))
	}
	if err := appendTo(filepath.Join(r.dir, settings), theirs); err != nil {
		t.Fatal(err)
	}
	do("systemctl", "enable", "mediad")
	must(r.has(wants), "it cannot be enabled")
	do("dpkg", "--force-confdef", "--force-confold", "--install", next)
	must(strings.HasSuffix(r.read(settings), theirs), "the upgrade loses the settings")
	must(r.has(wants), "the upgrade disables it")
	do("dpkg", "--remove", "mediad")
	must(strings.HasSuffix(r.read(settings), theirs), "removing loses the settings")
	for _, name := range r.added(t) {
		must(strings.HasPrefix(name, settings) || name == "/etc/default", "removing leaves "+name)
	}
	do("dpkg", "--purge", "mediad")
	for _, name := range r.added(t) {
		must(false, "purging leaves "+name)
	}
	if out, err := r.do(t, "dpkg-query", "--show", "mediad"); err == nil {
		faults = append(faults, "dpkg still knows it: "+out)
	}
	return faults
}

func TestLifecycle(t *testing.T) {
	for _, fault := range lifecycle(t, oldDeb(t), newDeb(t)) {
		t.Error(fault)
	}
	tool.Checked(t, "dpkg", strings.Fields(tool.Call{}.Run(t, "dpkg", "--version"))[6], "install, upgrade with changed settings, remove and purge in a copy of the machine")
}

func TestLifecycleFindsMistakes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(dir string) error
		fault  string
	}{
		{"settings that are no conffile", func(dir string) error { return os.Remove(filepath.Join(dir, "DEBIAN/conffiles")) }, "the upgrade loses the settings"},
		{"something made at install", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "DEBIAN/postinst"), []byte("#!/bin/sh\nmkdir -p /var/lib/mediad\n"), 0o755)
		}, "purging leaves /var/lib/mediad"},
		{"a script that fails", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "DEBIAN/postinst"), []byte("#!/bin/sh\nexit 3\n"), 0o755)
		}, "exit status 3"},
		{"not disabled", func(dir string) error { return os.Remove(filepath.Join(dir, "DEBIAN/prerm")) }, "purging leaves " + wants},
	} {
		t.Run(c.name, func(t *testing.T) {
			small := func(dir string) error { // to be quick; that it differs is one more fault
				return errors.Join(os.WriteFile(filepath.Join(dir, "usr/bin/mediad"), nil, 0o755), c.change(dir))
			}
			faults := lifecycle(t, repacked(t, oldDeb(t), small), repacked(t, newDeb(t), small))
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.fault) }) {
				t.Errorf("not found: %q in %q", c.fault, faults)
			}
		})
	}
}

// recorder stands for systemctl where systemd is believed to run.
const recorder = "#!/bin/sh\necho \"$*\" >>/mnt/calls\n"

// TestScriptsUnderSystemd sees what the scripts ask of a systemd that runs. It is a stand-in: there is none in a test.
func TestScriptsUnderSystemd(t *testing.T) {
	r := newRoot(t)
	r.write(t, "/usr/local/bin/systemctl", recorder, 0o755)
	if err := os.MkdirAll(filepath.Join(r.dir, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SYSTEMD_LOG_LEVEL", "debug")
	old, next := r.bring(t, oldDeb(t)), r.bring(t, newDeb(t))
	for _, c := range []struct {
		args  []string
		said  string
		calls []string
	}{
		// systemd-sysctl is the real one; it may not write, and says what it would have.
		{[]string{"--install", old}, "net/core/rmem_max", []string{"daemon-reload"}},
		{[]string{"--install", next}, "the old version runs on", []string{"daemon-reload", "daemon-reload", "--quiet is-active mediad.service"}},
		{[]string{"--remove", "mediad"}, "", []string{"stop mediad.service", "--quiet --no-reload disable mediad.service", "daemon-reload"}},
		{[]string{"--purge", "mediad"}, "", []string{"daemon-reload"}},
	} {
		r.write(t, "/mnt/calls", "", 0o666)
		out, err := r.do(t, "dpkg", c.args...)
		if err != nil || !strings.Contains(out, c.said) {
			t.Errorf("dpkg %v: %s, %v", c.args, out, err)
		}
		if got := strings.Split(strings.TrimSpace(r.read("/mnt/calls")), "\n"); !slices.Equal(got, c.calls) {
			t.Errorf("dpkg %v: asked systemd for %q, want %q", c.args, got, c.calls)
		}
	}
}
