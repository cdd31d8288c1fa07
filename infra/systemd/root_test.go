package systemd

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// root is a copy of this machine's files to install into: what is written there stays there, and is seen apart.
type root struct {
	dir   string // the whole
	upper string // what was written
}

// newRoot makes one. Its /proc cannot be written: nothing there may set this machine's kernel.
func newRoot(t *testing.T) *root {
	t.Helper()
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", 0, "")
	r := &root{dir: filepath.Join(dir, "root"), upper: filepath.Join(dir, "upper")}
	work := filepath.Join(dir, "work")
	for _, d := range []string{r.dir, r.upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "overlay", r.dir, "overlay", 0, "lowerdir=/,upperdir="+r.upper+",workdir="+work)
	for _, d := range []string{"dev", "proc"} {
		mount(t, "/"+d, filepath.Join(r.dir, d), "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err := unix.Mount("", filepath.Join(r.dir, "proc"), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return r
}

func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mount %s: %v. Run the tests as root on Linux; in a container, with --privileged", target, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) }) // else it goes with this process
}

// command prepares a program to run there.
func (r *root) command(t *testing.T, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "chroot", append([]string{r.dir, name}, args...)...)
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive")
	return cmd
}

// do runs a program there and returns what it said.
func (r *root) do(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := r.command(t, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// bring copies a file of this machine to the same name below /mnt and returns that.
func (r *root) bring(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := "/mnt/" + filepath.Base(file)
	r.write(t, name, string(data), 0o644)
	return name
}

func (r *root) write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	file := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

func (r *root) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(r.dir, name)) // empty, if it is not there
	return string(data)
}

func (r *root) has(name string) bool {
	_, err := os.Lstat(filepath.Join(r.dir, name))
	return err == nil
}

// added lists what is there and was not before, and what is gone: all but dpkg's own books.
func (r *root) added(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(r.upper, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, r.upper)
		switch {
		case strings.HasPrefix(name, "/var/lib/dpkg"), strings.HasPrefix(name, "/var/log/dpkg.log"), strings.HasPrefix(name, "/mnt/"):
			return nil
		case d.Type()&fs.ModeCharDevice != 0: // how an overlay says so
			names = append(names, name+" (removed)")
			return nil
		}
		if _, err := os.Lstat("/" + name); err != nil || !d.IsDir() {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
