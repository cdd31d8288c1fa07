package kernel

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// apart runs f in a network namespace of its own, which has nothing but a loopback and ends with it: routes and queues can be changed
// there that the machine keeps as they are. Sockets that f opens belong there, for as long as f does not start goroutines to open them.
func apart(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("a network namespace cannot be made here: %v. Run the tests as root; in a container, with the capability SYS_ADMIN", err)
			return
		}
		run(t, "ip link set lo up")
		f(t)
	}()
	<-done
	if t.Failed() {
		t.FailNow()
	}
}

// run runs a program of iproute2 in the namespace of the calling goroutine.
func run(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil { //nolint:gosec,noctx // the test's own words
		t.Errorf("%s: %v: %s. Get it with: apt-get install iproute2", line, err, out)
		runtime.Goexit()
	}
}
