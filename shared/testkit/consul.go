package testkit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

// consulConfig is what no flag of the agent can say. No update check: a test talks to loopback only. No cache in DNS answers,
// so that a balancer under test sees a node come and go at once.
const consulConfig = `
disable_update_check = true
connect { enabled = false }
peering { enabled = false }
dns_config { service_ttl { "*" = "0s" } }
`

// Consul starts a Consul agent of its own on free loopback ports, waits until it leads its cluster of one and returns its HTTP
// address, "http://127.0.0.1:<port>". It keeps nothing on disk and is killed when the test ends. The program is
// bin/tools/consul, which `make setup` builds.
func Consul(t testing.TB) string { return StartConsul(t).URL }

// ConsulServer is a Consul agent of one test: for tests of what happens while Consul is away, and of its DNS. Its methods are
// called by the test's goroutine only.
type ConsulServer struct {
	URL string // of the HTTP API
	DNS string // host:port, UDP and TCP

	*proc.Process
	t     testing.TB
	host  string
	bin   string
	node  string   // the agent's name, by which a stranger on its port would be found out
	ports []string // HTTP, DNS, server, LAN gossip, WAN gossip
}

// StartConsul is Consul for tests that stop and restart the agent.
func StartConsul(t testing.TB) *ConsulServer {
	t.Helper()
	return StartConsulAt(t, loopback)
}

// StartConsulAt is StartConsul for nodes on other machines: it listens on an IP address of this one.
func StartConsulAt(t testing.TB, host string) *ConsulServer {
	t.Helper()
	bin, err := tool.Find("consul")
	if err != nil {
		t.Fatal(err)
	}
	s := &ConsulServer{Process: proc.New(t, "consul"), t: t, host: host, bin: bin}
	t.Cleanup(s.Stop)
	// Between choosing ports and binding them somebody else may take one: then others are chosen.
	for range 5 {
		s.ports = []string{proc.FreePort(t, host), proc.FreePort(t, host), proc.FreePort(t, host), proc.FreePort(t, host), proc.FreePort(t, host)}
		s.URL, s.DNS, s.node = "http://"+net.JoinHostPort(host, s.ports[0]), net.JoinHostPort(host, s.ports[1]), "test-"+s.ports[0]+"-"+s.ports[2]
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatalf("consul: %v", err)
	return nil
}

// Start starts a stopped agent again, empty, at the same addresses. Somebody who took one of its ports meanwhile, for a connection of a
// moment, is waited for.
func (s *ConsulServer) Start() {
	s.t.Helper()
	late := time.Now().Add(startLimit)
	for {
		err := s.start()
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "address already in use") || time.Now().After(late) {
			s.t.Fatalf("consul: start again: %v", err)
		}
	}
}

// start runs the agent and returns when it leads; the error of one that ended instead holds its last words.
func (s *ConsulServer) start() error {
	cmd := exec.Command(s.bin, "agent", "-dev", "-node", s.node, "-disable-host-node-id", "-log-level", "info",
		"-bind", s.host, "-client", s.host, "-http-port", s.ports[0], "-dns-port", s.ports[1],
		"-server-port", s.ports[2], "-serf-lan-port", s.ports[3], "-serf-wan-port", s.ports[4],
		"-grpc-port", "-1", "-grpc-tls-port", "-1", "-hcl", consulConfig)
	cmd.Env = withoutConsul(os.Environ())
	// The agent says this once it leads and its own catalog has it: from here on registrations work.
	if err := s.Run(cmd, "Synced node info", startLimit); err != nil {
		return err
	}
	if err := s.verify(); err != nil {
		s.Stop()
		return err
	}
	return nil
}

// verify asks whoever answers on the port for its name and the leader.
func (s *ConsulServer) verify() error {
	var self struct{ Config struct{ NodeName string } }
	if err := s.get("/v1/agent/self", &self); err != nil {
		return err
	}
	if self.Config.NodeName != s.node {
		return fmt.Errorf("%s is answered by another agent, %q", s.URL, self.Config.NodeName)
	}
	var leader string
	if err := s.get("/v1/status/leader", &leader); err != nil {
		return err
	}
	if leader == "" {
		return fmt.Errorf("%s has no leader", s.URL)
	}
	return nil
}

// get decodes the JSON that the agent answers at path.
func (s *ConsulServer) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	req.Close = true // leaves no idle connection for a leak check to find
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}

// withoutConsul drops the CONSUL_ variables: they would configure the agent.
func withoutConsul(env []string) []string {
	var kept []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "CONSUL_") {
			kept = append(kept, kv)
		}
	}
	return kept
}
