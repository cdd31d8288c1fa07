package testkit

import (
	"strings"
	"testing"

	"weever/shared/testkit/proc"
)

func TestRedisAnswersStopsAndRestarts(t *testing.T) {
	s := StartRedis(t)
	must := func(command, want string) {
		t.Helper()
		if got, err := s.do(command); err != nil || got != want {
			t.Fatalf("%s: got %q, %v; want %q", command, got, err, want)
		}
	}
	must("SET k v", "+OK")
	must("GET k", "$1")
	s.Stop()
	if got, err := s.do("PING"); err == nil {
		t.Fatalf("a stopped server answered %q", got)
	}
	s.Start()
	must("GET k", "$-1")
}

func TestRedisKeepsItsDataUntilItIsWiped(t *testing.T) {
	s := StartRedisAt(t, loopback, "--appendonly", "yes")
	must := func(command, want string) {
		t.Helper()
		if got, err := s.do(command); err != nil || got != want {
			t.Fatalf("%s: got %q, %v; want %q", command, got, err, want)
		}
	}
	must("SET k v", "+OK")
	s.Stop()
	s.Start()
	must("GET k", "$1")
	s.Stop()
	s.Wipe()
	s.Start()
	must("GET k", "$-1")
}

func TestRedisServersAreApart(t *testing.T) {
	a, b := StartRedis(t), StartRedis(t)
	if a.URL == b.URL {
		t.Fatalf("two servers at %s", a.URL)
	}
}

func TestRedisClusterRefusesKeysOfTwoSlots(t *testing.T) {
	s := startCluster(t)
	if got, err := s.do("MSET a 1 b 2"); err != nil || got != "-CROSSSLOT Keys in request don't hash to the same slot" {
		t.Fatalf("got %q, %v", got, err)
	}
	if !strings.Contains(s.URL, "?addr=127.0.0.1:") {
		t.Fatalf("the URL %s is not the form of a cluster", s.URL)
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	a := StartRedis(t)
	b := &RedisServer{Process: proc.New(t, "redis-server"), t: t, bin: a.bin, dir: t.TempDir(), host: loopback, port: a.port}
	if err := b.start(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("two servers on one port: %v", err)
	}
}
