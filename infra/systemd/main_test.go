// Package systemd tests the packages for machines with systemd: what is in them, what they do to a machine, and the node that they install.
//
// systemd itself cannot run in a test. Its own tools judge the unit, and the node is started by hand as the unit says.
package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"weever/shared/testkit/proc"
)

// inside says that the process has a mount namespace of its own: what it mounts goes when it ends, whatever its end.
const inside = "WEEVER_TEST_MOUNTS"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(again()) //nolint:forbidigo // it is main here
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "weever-packages-")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir) // the system's, if it cannot be
	os.Exit(code)         //nolint:forbidigo // it is main here
}

// again runs the same tests in a mount namespace and returns their exit code.
func again() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = proc.DieWithParent()
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	_, _ = fmt.Fprintln(os.Stderr, "mount namespaces cannot be made here:", err, "- run the tests as root on Linux")
	return 1
}
