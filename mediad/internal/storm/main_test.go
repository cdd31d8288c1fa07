package storm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"weever/shared/testkit/guest"
)

// mediadEnv tells the tests where TestMain has put the program.
const mediadEnv = "WEEVER_TEST_MEDIAD"

// TestMain builds the program once for all tests. Started by a test on another machine, the binary is a guest there and runs no tests.
func TestMain(m *testing.M) {
	if guest.Asked() {
		if err := serveGuest(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // it is main here
		}
		return
	}
	dir, err := buildMediad()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // it is main here
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code) //nolint:forbidigo // as above
	}))
}

// buildMediad makes the program in a directory of its own.
func buildMediad() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "storm"); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "mediad")
	if out, err := exec.Command("go", "build", "-o", file, "weever/mediad").CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("go build weever/mediad: %w: %s", err, out)
	}
	return dir, os.Setenv(mediadEnv, file)
}
