package main

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// systemd, whose socket this is, hears that the node has started and that it lives; of one that stands still it hears nothing.
func TestSystemdHearsOfTheNode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	hears := func(within time.Duration) string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		var buf [100]byte
		n, err := conn.Read(buf[:])
		if err != nil {
			return "nothing"
		}
		return string(buf[:n])
	}
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "1500000")
	n := newCluster(t, 1).run(t, 0, "--private-host=0.0.0.0", "--admin-token=only-for-tests")
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := hears(20 * time.Second); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	n.signal(t, syscall.SIGSTOP)
	hears(time.Second) // that of before
	if got := hears(2 * time.Second); got != "nothing" {
		t.Errorf("heard %q of a node that stands still", got)
	}
	n.signal(t, syscall.SIGCONT)
	if got := hears(20 * time.Second); got != "WATCHDOG=1" {
		t.Errorf("heard %q of a node that goes on", got)
	}
}
