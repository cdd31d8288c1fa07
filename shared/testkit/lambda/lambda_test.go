package lambda

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weever/shared/testkit"
)

// A function that cannot start must be told with its own words, not by a time-out.
func TestLambdaThatEndsSaysWhy(t *testing.T) {
	err := newRuntime().start(t, script(t, "echo 'no configuration' >&2; exit 1"), nil)
	if err == nil || !strings.Contains(err.Error(), "no configuration") {
		t.Fatalf("got %v", err)
	}
}

func TestLambdaCarriesAnswersAndErrors(t *testing.T) {
	bootstrap := Build(t, "list", "amd64")
	fn := Start(t, bootstrap, map[string]string{"WEEVER_REDIS": testkit.Redis(t)})
	if fn.ColdStart <= 0 {
		t.Errorf("cold start took %v", fn.ColdStart)
	}
	got, err := fn.Invoke([]byte(`{"version":"2.0","rawPath":"/rooms","requestContext":{"http":{"method":"GET"}}}`))
	if err != nil || !strings.Contains(string(got), `"statusCode":200`) {
		t.Fatalf("got %s, %v", got, err)
	}
	if _, err := fn.Invoke("no event"); err == nil {
		t.Fatal("the function's error was lost")
	}
}

func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
