package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"weever/shared/testkit/tool"
)

// Two versions, the way a project gets from one to the other.
const (
	older = "v1.0.0-rc1"
	newer = "v1.0.0"
)

// built is what `make` packs, once for all tests.
var built struct {
	dir  string
	once sync.Once
	err  string
}

// packages gives the folder with both versions' packages.
func packages(t *testing.T) string {
	t.Helper()
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	built.once.Do(func() {
		out := filepath.Join(built.dir, "package")
		for _, c := range [][]string{
			{"make", "-s", "mediad-" + runtime.GOARCH, "VERSION=" + older, "BIN=" + built.dir},
			{"sh", "infra/systemd/package.sh", runtime.GOARCH, newer, "1700000000", out},
		} {
			cmd := exec.Command(c[0], c[1:]...)
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "DPKG_DEB_COMPRESSOR_LEVEL=0") // faster, and nothing else
			if text, err := cmd.CombinedOutput(); err != nil {
				built.err = strings.Join(c, " ") + ": " + err.Error() + ": " + string(text)
				return
			}
		}
	})
	if built.err != "" {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "package")
}

// deb is the file of a version as Debian writes it.
func deb(t *testing.T, version string) string {
	t.Helper()
	return filepath.Join(packages(t), "mediad_"+version+"_"+runtime.GOARCH+".deb")
}

func oldDeb(t *testing.T) string { return deb(t, "1.0.0~rc1") }
func newDeb(t *testing.T) string { return deb(t, "1.0.0") }

// repacked is a copy of a package with a change to its files, in a folder of which DEBIAN is the control part.
func repacked(t *testing.T, file string, change func(dir string) error) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	tool.Call{}.Run(t, "dpkg-deb", "--raw-extract", file, dir)
	if err := change(dir); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), filepath.Base(file))
	tool.Call{}.Run(t, "dpkg-deb", "--root-owner-group", "-Znone", "--build", dir, out)
	return out
}

// appendTo adds text to a file.
func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Close()
}
