package tool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissingToolNamesTheRemedy(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if path, err := Find("no-such-program"); err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Fatalf("got %q, %v", path, err)
	}
}

func TestRun(t *testing.T) {
	if out := (Call{Stdin: "said"}).Run(t, "sh", "-c", "cat; echo not this >&2"); out != "said" {
		t.Errorf("got %q", out)
	}
	if all := (Call{Env: []string{"X=both"}}).Refused(t, "sh", "-c", "echo out; echo $X >&2; exit 3"); all != "out\nboth\n" {
		t.Errorf("got %q", all)
	}
}
