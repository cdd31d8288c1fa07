package testkit

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"weever/shared/testkit/proc"
)

func TestConsulAnswersForgetsAndRestarts(t *testing.T) {
	s := StartConsul(t)
	services := func() (names map[string]any) {
		t.Helper()
		if err := s.get("/v1/catalog/services", &names); err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := services(); got["consul"] == nil {
		t.Fatalf("a leading agent lists itself, got %v", got)
	}
	s.Stop()
	if err := s.verify(); err == nil {
		t.Fatal("a stopped agent answered")
	}
	s.Start()
	if got := services(); len(got) != 1 {
		t.Fatalf("a restarted agent knows %v", got)
	}
}

func TestConsulAnswersDNS(t *testing.T) {
	s := StartConsul(t)
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.DNS)
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	addrs, err := r.LookupHost(ctx, s.node+".node.consul.")
	if err != nil || len(addrs) != 1 || addrs[0] != "127.0.0.1" {
		t.Fatalf("got %v, %v", addrs, err)
	}
}

func TestConsulThatCannotStartSaysWhy(t *testing.T) {
	a := StartConsul(t)
	b := &ConsulServer{Process: proc.New(t, "consul"), t: t, host: loopback, bin: a.bin, URL: a.URL, node: "other", ports: a.ports}
	if err := b.start(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("two agents on one port: %v", err)
	}
}
