package pionlog

import (
	"bytes"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is the text of a module that the project uses, without its tests.
func source(t *testing.T, module string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("go list -m %s: %v", module, err)
	}
	var all strings.Builder
	err = filepath.WalkDir(strings.TrimSpace(string(dir)), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// What is counted by a line's wording is counted only while pion words it so.
func TestPionHasTheLines(t *testing.T) {
	t.Parallel()
	for module, lines := range map[string][]string{
		"github.com/pion/ice/v4":    slices.Collect(maps.Keys(iceLines())),
		"github.com/pion/dtls/v3":   slices.Collect(maps.Keys(dtlsLines())),
		"github.com/pion/webrtc/v4": append(slices.Collect(maps.Keys(muxLines())), maybeWaiting),
		"github.com/pion/srtp/v3":   {duplicate, "s.log.Info(err.Error())"},
	} {
		text := source(t, module)
		for _, line := range lines {
			if !strings.Contains(text, line) {
				t.Errorf("%s does not say %q", module, line)
			}
		}
	}
}

func TestDropsAreCounted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := New(slog.New(slog.NewTextHandler(&out, nil)))
	want := f.Drops()
	if len(want) != int(reasons) {
		t.Errorf("%d names for %d reasons: %v", len(want), reasons, want)
	}
	f.NewLogger("dtls").Debugf("discarded broken packet: %v", "x")
	f.NewLogger("dtls").Debug("unexpected connection ID")
	f.NewLogger("dtls").Debug("handshake not finished, queuing packet")
	f.NewLogger("ice").Warnf("Discard request with wrong username from (%s), %v", "x", "y")
	f.NewLogger("ice").Tracef("Unhandled STUN from %s to %s class(%s) method(%s)")
	f.NewLogger("ice").Trace("Pinging all candidates")
	f.NewLogger("srtp").Info("srtp ssrc=1 index=2: duplicated packet")
	f.NewLogger("srtp").Info("failed to verify auth tag")
	f.NewLogger("srtp").Error("closed") // the end of the connection
	f.NewLogger("mux").Errorf("mux: failed to read from packetio.Buffer %s", "short buffer")
	for _, first := range []byte{19, 22, 63, 64, 127, 128, 191, 255} {
		f.NewLogger("mux").Warnf(maybeWaiting, first, 0)
	}
	f.NewLogger("sctp").Debug("discarded broken packet: %v") // says so of chunks
	maps.Copy(want, map[string]uint64{
		"dtls_invalid": 2, "stun_unauthentic": 1, "stun_unexpected": 1, "srtp_duplicate": 1, "srtp_invalid": 1, "oversized": 1, "no_protocol": 4,
	})
	if got := f.Drops(); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if out.Len() > 0 {
		t.Errorf("an operator is told: %s", out.String())
	}
}
