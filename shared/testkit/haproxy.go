package testkit

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weever/shared/testkit/proc"
)

// haproxyConfig is a balancer that knows nothing of sessions. The %s are, in turn, "ssl crt <file>" or nothing, and the server lines.
//
// One thread, so that the turns are strict. A 503 is tried at another node, with the body, which is kept until the reply is there; not
// so for PATCH and DELETE: theirs says that the session's owner is silent, and every node would wait as long to say the same.
const haproxyConfig = `
global
  log stdout format raw local0
  nbthread 1
  tune.bufsize 65536
defaults
  mode http
  log global
  log-format "%%HM %%ST %%s %%Tr"
  option forwardfor
  option http-buffer-request
  option redispatch 1
  retries 3
  retry-on 503 conn-failure empty-response
  timeout http-request 10s
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout check 500ms
frontend public
  bind fd@3 %s
  monitor-uri /balancer
  http-request disable-l7-retry if { method PATCH DELETE }
  default_backend nodes
backend nodes
  balance roundrobin
  option httpchk GET /readiness
  default-server inter 200ms fall 2 rise 1
  http-response set-header X-Served-By %%s
%s`

// BalancedNode is one server behind a Balancer.
type BalancedNode struct {
	Name  string // in X-Served-By
	Addr  string // host:port
	Check string // host:port whose /readiness is asked all the time; empty: the node always counts as ready
}

// Balancer is a real HAProxy of one test: round robin over nodes, no stickiness. Every reply tells in X-Served-By who gave it.
type Balancer struct {
	URL string // "http://127.0.0.1:<port>", or https

	*proc.Process
	t testing.TB
}

// HAProxy starts a balancer on a free loopback port and returns when it answers. certFile holds a certificate and its key; empty means
// plain HTTP. It is killed when the test ends.
func HAProxy(t testing.TB, certFile string, nodes ...BalancedNode) *Balancer {
	t.Helper()
	bin, err := haproxy()
	if err != nil {
		t.Fatalf("haproxy is missing: %v. Get it with: apt-get install haproxy", err)
	}
	b := &Balancer{Process: proc.New(t, "haproxy"), t: t}
	t.Cleanup(b.Stop)
	scheme, ssl := "http://", ""
	if certFile != "" {
		scheme, ssl = "https://", "ssl crt "+certFile
	}
	var servers strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&servers, "  server %s %s", n.Name, n.Addr)
		if n.Check != "" {
			host, port, err := net.SplitHostPort(n.Check)
			if err != nil {
				t.Fatalf("haproxy: %s: %v", n.Name, err)
			}
			fmt.Fprintf(&servers, " check addr %s port %s", host, port)
		}
		servers.WriteByte('\n')
	}
	if err := b.start(bin, t.TempDir(), scheme, fmt.Sprintf(haproxyConfig, ssl, servers.String())); err != nil {
		t.Fatalf("haproxy: %v", err)
	}
	return b
}

// haproxy finds the program; Debian has it where only root looks.
func haproxy() (string, error) {
	if bin, err := exec.LookPath("haproxy"); err == nil {
		return bin, nil
	}
	return exec.LookPath("/usr/sbin/haproxy")
}

// start hands the program a socket that is listening already, so that nobody can take its port, and waits for an answer.
func (b *Balancer) start(bin, dir, scheme, config string) error {
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.URL = scheme + l.Addr().String()
	socket, err := l.(*net.TCPListener).File() //nolint:forcetypeassert // listening on tcp
	_ = l.Close()
	if err != nil {
		return err
	}
	cmd := exec.Command(bin, "-db", "-f", file)
	cmd.ExtraFiles = []*os.File{socket}
	err = b.Run(cmd, "", startLimit)
	_ = socket.Close() // from here on nobody listens once the program has ended
	if err != nil {
		return err
	}
	if err := answers(b.URL); err != nil {
		b.Stop()
		return fmt.Errorf("%w: %s", err, b.Said()) // all of it, now that the program has ended
	}
	return nil
}

// answers asks the balancer, not a node, whether it serves. The connection waits at the socket until it does.
func answers(url string) error {
	client := http.Client{Timeout: startLimit, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own certificate
	}}
	resp, err := client.Get(url + "/balancer")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Await waits until a health check has found the node to be "UP" or "DOWN", for the first time since the start.
func (b *Balancer) Await(node, state string) {
	b.t.Helper()
	if err := b.Process.Await("Server nodes/"+node+" is "+state, startLimit); err != nil {
		b.t.Fatalf("haproxy: %v", err)
	}
}
