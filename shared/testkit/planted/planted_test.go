package planted

import (
	"path/filepath"
	"testing"
)

func TestPlanted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "b")
	Write(t, file, "one two one")
	text := Read(t, file)
	if got := In(t, text, "one", "three"); got != "three two one" {
		t.Errorf("once: %q", got)
	}
	if got := Everywhere(t, text, "one", "three"); got != "three two three" {
		t.Errorf("everywhere: %q", got)
	}
}

// failure is a test that only notes that it has failed.
type failure struct {
	testing.TB
	failed bool
}

func (f *failure) Helper()               {}
func (f *failure) Fatalf(string, ...any) { f.failed = true }

func TestNothingIsPlanted(t *testing.T) {
	f := &failure{TB: t}
	In(f, "one two", "three", "four")
	if !f.failed {
		t.Error("a piece that is not there is replaced")
	}
}
