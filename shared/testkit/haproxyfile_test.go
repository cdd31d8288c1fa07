package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/proc"
)

func TestHAProxyFile(t *testing.T) {
	one, two := newReplier(t, 200), newReplier(t, 200)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(`
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend public
  bind "${WEEVER_BIND}"
  monitor-uri /balancer
  default_backend "${BACKEND}"
backend a
  server one %[1]s
  server two %[2]s
backend b
  server one %[1]s
  server two %[2]s disabled
`, one.Listener.Addr(), two.Listener.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b := HAProxyFile(t, file, "BACKEND=b")
	for range 2 {
		if got, err := b.Nodes(); err != nil || !slices.Equal(got, []string{one.Listener.Addr().String()}) {
			t.Errorf("got %v, %v", got, err)
		}
		if status, _, body := ask(t, &Balancer{URL: b.URL}, "POST"); status != 200 || body != "hello" {
			t.Errorf("got %d %q", status, body)
		}
		b.Stop()
		if err := answers(b.URL); err == nil {
			t.Error("a stopped balancer answers")
		}
		b.Start()
	}
}

func TestHAProxyFileThatCannotBeUsedSaysWhy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &ShippedBalancer{Process: proc.New(t, "haproxy"), t: t, files: []string{"-f", file}}
	var err error
	if b.bin, err = haproxy(); err != nil {
		t.Fatal(err)
	}
	if err := b.start(); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Fatalf("got %v", err)
	}
}
