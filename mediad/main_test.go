package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"weever/shared/testkit/guest"
)

// No test may leave a goroutine behind: nodes, clients and backends all end with the test that started them. Started by a test, as
// a client on another machine or as a node, the binary runs no tests.
func TestMain(m *testing.M) {
	if guest.Asked() {
		if err := serveInside(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // it is main here
		}
		return
	}
	if args := os.Getenv(nodeEnv); args != "" {
		os.Exit(run(strings.Fields(args), os.Stdout, os.Stderr)) //nolint:forbidigo // it is main here
	}
	goleak.VerifyTestMain(m)
}

func TestExitCodes(t *testing.T) {
	t.Setenv("WEEVER_REDIS", "")
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"version":      {[]string{"version"}, 0, "mediad"},
		"help":         {[]string{"--help"}, 0, "--udp-port"},
		"unknown flag": {[]string{"--nonsense"}, 2, "nonsense"},
		"two faults at once": {
			[]string{"--port=99999", "--udp-port=x", "--plain-http"}, 2, "--udp-port",
		},
		"a private API for all": {[]string{"--plain-http", "--private-host=0.0.0.0"}, 2, "--admin-token"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(c.args, &out, &errs); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if said := out.String() + errs.String(); !strings.Contains(said, c.says) {
				t.Errorf("does not say %q: %s", c.says, said)
			}
		})
	}
}
