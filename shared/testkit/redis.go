// Package testkit starts for tests the programs Weever runs with: real ones, on loopback, gone when the test ends.
//
// Only tests import it. What cannot be started fails the test with its name and how to get it; nothing is skipped.
package testkit

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weever/shared/testkit/proc"
)

// loopback is where servers listen unless they are told to do so elsewhere.
const loopback = "127.0.0.1"

// startLimit is how long programs have.
const startLimit = proc.StartLimit

// Redis starts an empty redis-server on a free loopback port, waits until it answers and returns its URL,
// "redis://127.0.0.1:<port>". It keeps nothing on disk and is killed when the test ends.
func Redis(t testing.TB) string { return StartRedis(t).URL }

// RedisCluster is Redis with cluster mode on: one node that owns all slots. It refuses commands whose keys lie in
// different slots, as a larger cluster does. The URL carries "?addr=", the form that makes redisdb.Open use the cluster client.
func RedisCluster(t testing.TB) string {
	t.Helper()
	return startCluster(t).URL
}

func startCluster(t testing.TB) *RedisServer {
	t.Helper()
	s := newRedisServer(t, loopback, "--cluster-enabled", "yes")
	if reply, err := s.do("CLUSTER ADDSLOTSRANGE 0 16383"); err != nil || reply != "+OK" {
		t.Fatalf("redis-server: assign slots: %q, %v", reply, err)
	}
	if err := s.Await("Cluster state changed: ok", startLimit); err != nil {
		t.Fatalf("redis-server: %v", err)
	}
	s.URL += "?addr=127.0.0.1:" + s.port
	return s
}

// RedisServer is a redis-server of one test: for tests of what happens while Redis is away. Its methods are called by the
// test's goroutine only.
type RedisServer struct {
	URL string

	*proc.Process
	t    testing.TB
	bin  string
	dir  string
	host string
	port string
	args []string
}

// StartRedis is Redis for tests that stop and restart the server.
func StartRedis(t testing.TB) *RedisServer {
	t.Helper()
	return newRedisServer(t, loopback)
}

// StartRedisAt is StartRedis for nodes on other machines, with more of redis-server's arguments: it listens on an IP address of this one.
// With "--appendonly yes" it has its data back after Stop and Start, unless Wipe was called between.
func StartRedisAt(t testing.TB, host string, args ...string) *RedisServer {
	t.Helper()
	return newRedisServer(t, host, args...)
}

// Wipe removes what a stopped server keeps on disk.
func (s *RedisServer) Wipe() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
		s.t.Fatal(err)
	}
}

// Start starts a stopped server again at the same URL, empty unless told to keep its data.
func (s *RedisServer) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("redis-server: start again: %v", err)
	}
}

func newRedisServer(t testing.TB, host string, args ...string) *RedisServer {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("redis-server is missing: %v. Get it with: apt-get install redis-server", err)
	}
	s := &RedisServer{Process: proc.New(t, "redis-server"), t: t, bin: bin, dir: t.TempDir(), host: host, args: args}
	t.Cleanup(s.Stop)
	// Between choosing a port and binding it somebody else may take it: then another one is chosen.
	for range 5 {
		s.port = proc.FreePort(t, host)
		s.URL = "redis://" + net.JoinHostPort(host, s.port)
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatalf("redis-server: %v", err)
	return nil
}

// start runs the server and returns when it answers; the error of one that ended instead holds its last words.
func (s *RedisServer) start() error {
	args := append([]string{
		"--port", s.port, "--bind", s.host, "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", s.dir, "--daemonize", "no",
	}, s.args...)
	cmd := exec.Command(s.bin, args...)
	// The log is asked first: an answer alone could be a stranger's who took the port before us.
	if err := s.Run(cmd, "Ready to accept connections", startLimit); err != nil {
		return err
	}
	reply, err := s.do("PING")
	if err == nil && reply != "+PONG" {
		err = fmt.Errorf("answered %q", reply)
	}
	if err != nil {
		s.Stop()
	}
	return err
}

// do sends one inline command and returns the first line of the reply.
func (s *RedisServer) do(command string) (string, error) {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(s.host, s.port), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}
