// Package testkit starts for tests the programs Weever runs with: real ones, on loopback, gone when the test ends.
//
// Only tests import it. What cannot be started fails the test with its name and how to get it; nothing is skipped.
package testkit

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startLimit bounds the wait for a program to answer: far above what a busy machine needs, below a test's own limit.
const startLimit = 20 * time.Second

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
	s := newRedisServer(t, "--cluster-enabled", "yes")
	if reply, err := s.do("CLUSTER ADDSLOTSRANGE 0 16383"); err != nil || reply != "+OK" {
		t.Fatalf("redis-server: assign slots: %q, %v", reply, err)
	}
	if err := s.out.await("Cluster state changed: ok", s.exited, startLimit); err != nil {
		t.Fatalf("redis-server: %v", err)
	}
	s.URL += "?addr=127.0.0.1:" + s.port
	return s
}

// RedisServer is a redis-server of one test: for tests of what happens while Redis is away. Its methods are called by the
// test's goroutine only.
type RedisServer struct {
	URL string

	process
	bin  string
	dir  string
	port string
	args []string
}

// StartRedis is Redis for tests that stop and restart the server.
func StartRedis(t testing.TB) *RedisServer {
	t.Helper()
	return newRedisServer(t)
}

// Start starts a stopped server again, empty, at the same URL.
func (s *RedisServer) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("redis-server: start again: %v", err)
	}
}

func newRedisServer(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("redis-server is missing: %v. Get it with: apt-get install redis-server", err)
	}
	s := &RedisServer{process: process{t: t, name: "redis-server"}, bin: bin, dir: t.TempDir(), args: args}
	t.Cleanup(s.Stop)
	// Between choosing a port and binding it somebody else may take it: then another one is chosen.
	for range 5 {
		s.port = freePort(t)
		s.URL = "redis://127.0.0.1:" + s.port
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
		"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir, "--daemonize", "no",
	}, s.args...)
	cmd := exec.Command(s.bin, args...)
	// The log is asked first: an answer alone could be a stranger's who took the port before us.
	if err := s.run(cmd, "Ready to accept connections", startLimit); err != nil {
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
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, time.Second)
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

// freePort asks the kernel for a loopback port nobody has.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("no free port on loopback: %v", err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
