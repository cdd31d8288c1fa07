package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCheckFlags(t *testing.T) {
	clean(t)
	c := mustParse(t, "check", "https://h/pub/tea/alice")
	if c.Command != CmdCheck || c.Check.Endpoint.String() != "https://h/pub/tea/alice" || c.Check.Origin != "http://localhost" || c.Check.Timeout != 2*time.Minute {
		t.Errorf("%+v", c.Check)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("filed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := mustParse(t, "check", "--whep", "--token", "tok", "http://h/sub", "--publish", "http://h/pub", "--publish-token-file", file,
		"--strict", "--flood", "--origin", "https://App.example:1", "--timeout", "30s", "--insecure", "--json").Check
	if got.Token.Value() != "tok" || got.PublishToken.Value() != "filed" || got.Publish.String() != "http://h/pub" || got.Endpoint.String() != "http://h/sub" {
		t.Errorf("%+v", got)
	}
	want := Check{
		Endpoint: got.Endpoint, Token: got.Token, Publish: got.Publish, PublishToken: got.PublishToken,
		WHEP: true, Strict: true, Flood: true, Origin: "https://app.example:1", Timeout: 30 * time.Second, Insecure: true, JSON: true,
	}
	if got != want {
		t.Errorf("%+v", got)
	}
}

func TestCheckFaults(t *testing.T) {
	clean(t)
	for want, args := range map[string][]string{
		"the endpoint: must be a URL":        {"ftp://h/hunter2"},
		"--publish needs --whep":             {"http://h", "--publish", "http://h"},
		"--publish-token needs --publish":    {"http://h", "--whep", "--publish-token", "x"},
		`--origin "http://h/x": must be`:     {"http://h", "--origin", "http://h/x"},
		`--timeout "1ms": must be`:           {"http://h", "--timeout", "1ms"},
		"--token: must be visible":           {"http://h", "--token", "hun ter2"},
		"--publish: must be a URL":           {"http://h", "--whep", "--publish", "x?hunter2"},
		"must not be given together with --": {"http://h", "--token", "x", "--token-file", "/none"},
	} {
		got := faults(t, append([]string{"check"}, args...)...)
		if len(got) != 1 || !strings.Contains(got[0], want) || strings.Contains(got[0], "ter2") {
			t.Errorf("%q: got %q, want %q alone", args, got, want)
		}
	}
	if _, err := Parse([]string{"check"}, new(bytes.Buffer), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "endpoint-url") {
		t.Errorf("no endpoint: %v", err)
	}
}
