package systemd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/tool"
)

// files of both packages, as tar lists them: mode, owner, name.
var files = []string{
	"-rwxr-xr-x root/root ./usr/bin/mediad",
	"-rw-r--r-- root/root ./usr/lib/systemd/system/mediad.service",
	"-rw-r--r-- root/root ./usr/lib/sysctl.d/10-mediad.conf",
	"-rw-r--r-- root/root ./usr/share/doc/mediad/README.md",
	"-rw-r--r-- root/root ./usr/share/doc/mediad/copyright",
	"-rw-r--r-- root/root ./usr/share/doc/mediad/mediad.env",
}

// listed picks modes, owners and names out of tar's long list, without folders.
func listed(list string) (names []string) {
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) >= 6 && line[0] != 'd' {
			names = append(names, f[0]+" "+f[1]+" "+f[5])
		}
	}
	slices.Sort(names)
	return names
}

func TestContents(t *testing.T) {
	want := append(slices.Clone(files), "-rw-r----- root/root ./etc/default/mediad", "-rw-r--r-- root/root ./usr/share/doc/mediad/changelog.gz")
	slices.Sort(want)
	if got := listed((tool.Call{}).Run(t, "dpkg-deb", "--contents", newDeb(t))); !slices.Equal(got, want) {
		t.Errorf("the .deb has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	fields := tool.Call{}.Run(t, "dpkg-deb", "--field", newDeb(t), "Package", "Version", "Architecture")
	if want := "Package: mediad\nVersion: 1.0.0\nArchitecture: " + runtime.GOARCH + "\n"; fields != want {
		t.Errorf("%s", fields)
	}
	if script := (tool.Call{}).Run(t, "dpkg-deb", "--info", newDeb(t), "conffiles"); script != "/etc/default/mediad\n" {
		t.Errorf("conffiles: %q", script)
	}
	tool.Call{}.Run(t, "dpkg", "--compare-versions", "1.0.0~rc1", "lt", "1.0.0")
	tool.Checked(t, "dpkg-deb", strings.Fields(tool.Call{}.Run(t, "dpkg-deb", "--version"))[6], "control and contents of the .deb")
}

// TestArchive: it is unpacked over a machine whose /lib is a link, and replaces nothing.
func TestArchive(t *testing.T) {
	archive := filepath.Join(packages(t), "mediad_"+newer+"_"+runtime.GOARCH+".tar.gz")
	want := slices.Clone(files)
	for i := range want {
		want[i] = strings.Replace(want[i], " ./", " ", 1)
	}
	slices.Sort(want)
	r := newRoot(t)
	here := r.bring(t, archive)
	list, err := r.do(t, "tar", "-tvf", here)
	if err != nil {
		t.Fatal(err)
	}
	if got := listed(strings.ReplaceAll(list, " 0/0 ", " root/root ")); !slices.Equal(got, want) {
		t.Errorf("the archive has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := r.do(t, "tar", "-C", "/", "-xf", here); err != nil {
		t.Fatal(err)
	}
	if out, err := r.do(t, "/usr/bin/mediad", "version"); err != nil || out != "mediad "+older+"\n" { // as it was built
		t.Errorf("%q, %v", out, err)
	}
	var names []string
	for _, f := range want {
		names = append(names, "/"+strings.Fields(f)[2])
	}
	names = append(names, "/usr/share/doc/mediad")
	slices.Sort(names)
	if got := r.added(t); !slices.Equal(slices.Sorted(slices.Values(got)), names) {
		t.Errorf("unpacking the archive changed\n%s", strings.Join(got, "\n"))
	}
}

// TestSameBytes: packing the same again gives the same.
func TestSameBytes(t *testing.T) {
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{t.TempDir(), t.TempDir()}
	for i, env := range [][]string{{"TZ=Asia/Tokyo", "LC_ALL=C.UTF-8"}, {"TZ=UTC"}} {
		program := filepath.Join(dirs[i], "mediad-"+runtime.GOARCH, "mediad") // a small one, to be quick
		if err := errors.Join(os.Mkdir(filepath.Dir(program), 0o700+os.FileMode(i)*0o055), os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755)); err != nil {
			t.Fatal(err)
		}
		tool.Call{Dir: root, Env: env}.Run(t, "sh", "infra/systemd/package.sh", runtime.GOARCH, newer, "1700000000", dirs[i])
	}
	dir := dirs[0]
	for _, name := range []string{filepath.Base(newDeb(t)), "mediad_" + newer + "_" + runtime.GOARCH + ".tar.gz"} {
		if out, err := exec.Command("cmp", filepath.Join(dirs[0], name), filepath.Join(dirs[1], name)).CombinedOutput(); err != nil {
			t.Errorf("%s", out)
		}
	}
	for version, fault := range map[string]string{"v1;rm -rf": "cannot be a version", "v1.0.0 ": "cannot be a version"} {
		if out := (tool.Call{Dir: root}).Refused(t, "sh", "infra/systemd/package.sh", runtime.GOARCH, version, "0", dir); !strings.Contains(out, fault) {
			t.Errorf("%q: %s", version, out)
		}
	}
	if out := (tool.Call{Dir: root}).Refused(t, "sh", "infra/systemd/package.sh", "vax", newer, "0", dir); !strings.Contains(out, "make package builds it") {
		t.Errorf("no program: %s", out)
	}
}

// accepted is what lintian dislikes and we mean.
var accepted = strings.Join([]string{
	"bogus-mail-host", "bogus-mail-host-in-debian-changelog", // there is no mailing list
	"copyright-file-contains-full-apache-2-license", "copyright-not-using-common-license-for-apache2", "copyright-without-copyright-notice", // the project's own file
	"statically-linked-binary",          // runs on any Linux
	"maintainer-script-calls-systemctl", // nothing is enabled or started for the operator
	"no-manual-page",                    // --help
	"non-standard-file-perm",            // the settings may hold passwords
	"package-contains-ancient-file",     // the date is the sources'
	"unstripped-binary-or-object",       // of a build for the race detector
}, ",")

func TestLintian(t *testing.T) {
	lint := []string{"--allow-root", "--fail-on", "error,warning", "--suppress-tags", accepted}
	tool.Call{}.Run(t, "lintian", append(lint, newDeb(t))...)
	bad := repacked(t, newDeb(t), func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "usr/bin/mediad"), []byte("#!/bin/sh\n"), 0o755), os.Remove(filepath.Join(dir, "usr/share/doc/mediad/copyright")))
	})
	if out := (tool.Call{}).Refused(t, "lintian", append(lint, bad)...); !strings.Contains(out, "no-copyright-file") {
		t.Errorf("a package without its licence: %s", out)
	}
	tool.Checked(t, "lintian", strings.TrimPrefix(tool.Call{}.Run(t, "lintian", "--version"), "Lintian "), "the .deb against Debian's policy")
}
