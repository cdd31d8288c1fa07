package termination

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// twiceEnv makes the test binary be a process that waits for its end.
const twiceEnv = "WEEVER_TEST_TERMINATION"

func TestMain(m *testing.M) {
	if os.Getenv(twiceEnv) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, release := Context()
	defer release()
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			panic(err)
		}
		<-ctx.Done() // the kernel makes one of two that are not heard yet
	}
	<-time.After(10 * time.Second)
}

func TestOnce(t *testing.T) {
	ctx, release := Context()
	if ctx.Err() != nil {
		t.Error("it has ended")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Error("it does not end")
	}
	release()
}

func TestTwice(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), twiceEnv+"=1")
	began := time.Now()
	_ = cmd.Run()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM || time.Since(began) > 5*time.Second {
		t.Errorf("it ended with %v after %v", cmd.ProcessState, time.Since(began))
	}
}
