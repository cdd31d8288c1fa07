// Package tool runs the programs that check what this project ships for deployment, and lists what each has checked.
//
// A checker is a program that `make setup` built into bin/tools or installed from the system's packages. One that is missing fails
// the test: nothing is skipped.
package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// limit is how long a program may take.
const limit = 5 * time.Minute

// Root is the folder of the repository: the one above the test's that has the go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the test's folder, so bin/tools cannot be found")
		}
		dir = up
	}
}

// Find gives the path of a program in bin/tools of this repository or, if it is not there, of an installed one.
func Find(name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	built := filepath.Join(root, "bin", "tools", name)
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is missing. Get it with: make setup", name)
}

// Call is one run of a program.
type Call struct {
	Dir   string   // where; the test's folder if empty
	Env   []string // NAME=value, besides the test's own
	Stdin string
}

// Run runs a program that must accept what it is given, and returns what it printed on its standard output.
func (c Call) Run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	out, all, err := c.run(tb, name, args...)
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, all)
	}
	return out
}

// Refused runs a program that must find a mistake, and returns everything it printed.
func (c Call) Refused(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	_, all, err := c.run(tb, name, args...)
	if err == nil {
		tb.Fatalf("%s %s accepts what is wrong:\n%s", name, strings.Join(args, " "), all)
	}
	return all
}

func (c Call) run(tb testing.TB, name string, args ...string) (out, all string, err error) {
	tb.Helper()
	path, err := Find(name)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, append(os.Environ(), c.Env...), strings.NewReader(c.Stdin)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stdout.String() + stderr.String(), err
}

// Checked notes in the test's log, for `make infra-test` to list, that a tool has checked something. Call it when it has.
func Checked(tb testing.TB, name, version, what string) {
	tb.Helper()
	tb.Logf("checked by %s %s: %s", name, strings.TrimSpace(version), what)
}
