package testkit

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weever/shared/testkit/proc"
)

// ShippedBalancer is HAProxy with a configuration that was made for more than a test: infra/haproxy/haproxy.cfg. Its methods are called by
// the test's goroutine only.
type ShippedBalancer struct {
	URL string // "http://127.0.0.1:<port>"; the same after Stop and Start

	*proc.Process
	t      testing.TB
	bin    string
	files  []string // configuration
	env    []string
	socket string // of the runtime API
}

// HAProxyFile starts HAProxy with the configuration in a file, which must take the address to serve from WEEVER_BIND and answer
// "/balancer" itself. env is further variables, "NAME=value". It returns when the balancer answers, whether or not it has found nodes by then.
// It is killed when the test ends.
func HAProxyFile(t testing.TB, file string, env ...string) *ShippedBalancer {
	t.Helper()
	bin, err := haproxy()
	if err != nil {
		t.Fatalf("haproxy is missing: %v. Get it with: apt-get install haproxy", err)
	}
	dir := t.TempDir()
	b := &ShippedBalancer{Process: proc.New(t, "haproxy"), t: t, bin: bin, socket: filepath.Join(dir, "api")}
	control := filepath.Join(dir, "control.cfg") // read after the file: it adds what tests look through
	if err := os.WriteFile(control, []byte("global\n  stats socket "+b.socket+" mode 600 level operator\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.files = []string{"-f", file, "-f", control}
	t.Cleanup(b.Stop)
	for range 5 { // somebody else may take the port
		addr := net.JoinHostPort(loopback, proc.FreePort(t, loopback))
		b.URL, b.env = "http://"+addr, append(env, "WEEVER_BIND="+addr)
		if err = b.start(); err == nil {
			return b
		}
	}
	t.Fatalf("haproxy: %v", err)
	return nil
}

// Start starts a stopped balancer again.
func (b *ShippedBalancer) Start() {
	b.t.Helper()
	if err := b.start(); err != nil {
		b.t.Fatalf("haproxy: start again: %v", err)
	}
}

func (b *ShippedBalancer) start() error {
	cmd := exec.Command(b.bin, append([]string{"-db"}, b.files...)...)
	cmd.Env = append(os.Environ(), b.env...)
	if err := b.Run(cmd, "", startLimit); err != nil {
		return err
	}
	if err := b.answers(); err != nil {
		b.Stop()
		return fmt.Errorf("%w: %s", err, b.Said())
	}
	return nil
}

// answers waits until the balancer serves, or has ended.
func (b *ShippedBalancer) answers() error {
	limit := time.After(startLimit)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := answers(b.URL)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-b.Exited():
			return fmt.Errorf("it has ended: %w", err)
		case <-limit:
			return err
		}
	}
}

// Nodes lists the addresses, host:port, that all backends of the balancer send requests to at this moment.
func (b *ShippedBalancer) Nodes() ([]string, error) {
	c, err := net.DialTimeout("unix", b.socket, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(c, "show servers state"); err != nil {
		return nil, err
	}
	backends, up := map[string]bool{}, map[string]map[string]bool{} // by address, the backends that use it
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		// Backend, its name, server, its name, address, state (2: up), why it is out (0: it is not; 64: its name came by DNS), …, the port.
		f := strings.Fields(lines.Text())
		if len(f) <= 18 || f[0] == "#" {
			continue
		}
		backends[f[0]] = true
		if f[5] == "2" && (f[6] == "0" || f[6] == "64") {
			addr := net.JoinHostPort(f[4], f[18])
			if up[addr] == nil {
				up[addr] = map[string]bool{}
			}
			up[addr][f[0]] = true
		}
	}
	var nodes []string
	for addr, by := range up {
		if len(by) == len(backends) {
			nodes = append(nodes, addr)
		}
	}
	return nodes, lines.Err()
}
