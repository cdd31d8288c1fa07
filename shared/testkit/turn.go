package testkit

import (
	"os/exec"
	"path/filepath"
	"testing"

	"weever/shared/testkit/proc"
)

// TURN starts a TURN server, coturn, that lets in whoever has credentials made with secret (its REST API's rules) and relays between
// loopback addresses. It listens on a free loopback port, UDP and TCP, which is returned as "127.0.0.1:<port>". It is killed when the
// test ends.
func TURN(t testing.TB, secret string) string {
	t.Helper()
	bin, err := exec.LookPath("turnserver")
	if err != nil {
		t.Fatalf("turnserver is missing: %v. Get it with: apt-get install coturn", err)
	}
	dir, port := t.TempDir(), proc.FreePort(t, loopback)
	p := proc.New(t, "turnserver")
	t.Cleanup(p.Stop)
	// -n: nothing from /etc. One thread: that is one listener, which is ready when it says so.
	cmd := exec.Command(bin, "-n", "--verbose", "--log-file", "stdout", "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1",
		"--listening-port", port, "--relay-threads", "1", "--no-tls", "--no-dtls", "--no-cli", "--no-tcp-relay", "--no-rfc5780",
		"--allow-loopback-peers", "--realm", "weever.test", "--use-auth-secret", "--static-auth-secret", secret,
		"--pidfile", filepath.Join(dir, "pid"), "--userdb", filepath.Join(dir, "db"))
	// It asks its database once, and until it has, it refuses everybody.
	if err := p.Run(cmd, "SQLite DB connection success", startLimit); err != nil {
		t.Fatalf("turnserver: %v", err)
	}
	if err := p.Await("TCP listener opened on : 127.0.0.1:"+port, startLimit); err != nil {
		t.Fatalf("turnserver: %v", err)
	}
	return "127.0.0.1:" + port
}
