// Package planted plants mistakes: a test of a check hands it what is right with one thing wrong, and the check has to find it.
package planted

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// In is text with a piece of it replaced where it stands first. It fails the test when the piece is not there: the check would be shown nothing
// wrong.
func In(tb testing.TB, text, piece, mistake string) string {
	tb.Helper()
	before, after, found := strings.Cut(text, piece)
	if !found {
		tb.Fatalf("this is not there, so nothing can be planted in its place:\n%s", piece)
	}
	return before + mistake + after
}

// Everywhere is In wherever the piece stands.
func Everywhere(tb testing.TB, text, piece, mistake string) string {
	tb.Helper()
	In(tb, text, piece, mistake)
	return strings.ReplaceAll(text, piece, mistake)
}

// Read is the text of a file.
func Read(tb testing.TB, file string) string {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// Write makes a file, and the folders that it is in.
func Write(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
