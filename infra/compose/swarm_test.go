package compose

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"weever/shared/eventually"
	"weever/shared/testkit/netns"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

// swarmEnv is what a swarm must be told.
var swarmEnv = []string{"IMAGE=registry.example.com/weever-mediad:1.0.0", "DOMAIN=example.com"}

// swarmFaults lists what breaks the rules of a swarm.
func swarmFaults(p *types.Project) (list []string) {
	want := map[string]string{"443/tcp": "haproxy", "8443/udp": "mediad"}
	for name, s := range p.Services {
		if s.Deploy.EndpointMode != "dnsrr" {
			list = append(list, name+": is reached by an address that forgets silent connections")
		}
		for _, port := range s.Ports {
			key := port.Published + "/" + port.Protocol
			if want[key] != name || port.Mode != "host" {
				list = append(list, fmt.Sprintf("%s: %s is published, mode %s", name, key, port.Mode))
			}
			delete(want, key)
			if s.Deploy.Mode != "global" {
				list = append(list, name+": has a port and is not on every machine")
			}
		}
	}
	for key, c := range p.Configs {
		if c.Name != "weever-"+key+"-1" {
			list = append(list, key+": cannot be changed: a swarm refuses a config of the same name")
		}
	}
	for port, name := range want {
		list = append(list, name+": "+port+" is not published")
	}
	node := p.Services["mediad"]
	drain, err := time.ParseDuration(*node.Environment["WEEVER_DRAIN_TIMEOUT"])
	if err != nil || node.StopGracePeriod == nil || time.Duration(*node.StopGracePeriod) <= drain {
		list = append(list, "mediad: is killed before it is drained")
	}
	if !slices.Equal([]string(node.HealthCheck.Test), []string{"CMD", "/usr/bin/helper", "alive"}) {
		list = append(list, "mediad: a node that drains would be taken for ill")
	}
	if p.Networks["default"].DriverOpts["encrypted"] != "true" {
		list = append(list, "what nodes tell each other is in the clear")
	}
	return list
}

func TestSwarm(t *testing.T) {
	p := mustLoad(t, swarmFile, swarmEnv...)
	for _, f := range append(faults(p, flags(t)), swarmFaults(p)...) {
		t.Error(f)
	}
	text, err := os.ReadFile(swarmFile)
	if err != nil {
		t.Fatal(err)
	}
	tool.Call{Env: swarmEnv, Stdin: string(text)}.Run(t, "dockercheck", "stack")
	for _, c := range []struct{ name, old, next, fault string }{
		{"what a swarm does not know", "hostname:", "depends_on: [redis]\n    network_mode: host\n    hostname:", "network_mode"},
		{"an option that it passes over", "hostname:", "restart: always\n    hostname:", "a swarm ignores: restart"},
		{"a secret that is not declared", "weever-pem: {external: true}", "weever-pam: {external: true}", ""},
		{"a wrong word", "mode: global", "mode: [all]", "mode"},
	} {
		bad := strings.Replace(string(text), c.old, c.next, 1)
		if c.fault == "" {
			if _, err := load(mutated(t, swarmFile, c.old, c.next), swarmEnv...); err == nil {
				t.Errorf("%s: not found", c.name)
			}
			continue
		}
		if out := (tool.Call{Env: swarmEnv, Stdin: bad}).Refused(t, "dockercheck", "stack"); !strings.Contains(out, c.fault) {
			t.Errorf("%s: %s", c.name, out)
		}
	}
	if out := (tool.Call{Env: swarmEnv[1:], Stdin: string(text)}).Refused(t, "dockercheck", "stack"); !strings.Contains(out, "set IMAGE to") {
		t.Errorf("without an image: %s", out)
	}
	for _, c := range []struct{ name, old, next, fault string }{
		{"one killed too early", "stop_grace_period: 6m", "stop_grace_period: 10s", "killed before"},
		{"readiness as health", "/usr/bin/helper, alive", "/usr/bin/helper, ready", "taken for ill"},
		{"a port of the swarm's mesh", "protocol: udp, mode: host", "protocol: udp, mode: ingress", "mode ingress"},
		{"a private port in public", "ports: [{target: 8443,", "ports: [{target: 9443, published: 9443, protocol: tcp, mode: host}, {target: 8443,", "9443/tcp is published"},
		{"one node", "mode: global", "mode: replicated", "not on every machine"},
		{"a virtual address", "endpoint_mode: dnsrr", "endpoint_mode: vip", "forgets silent connections"},
		{"a config for ever", `name: "weever-nats-${CONFIGS:-1}", `, "", "nats: cannot be changed"},
		{"an open network", `encrypted: "true"`, `encrypted: "false"`, "in the clear"},
		{"no version", "haproxy:2.6.22-alpine", "haproxy", "no whole version"},
	} {
		p, err := load(mutated(t, swarmFile, c.old, c.next), swarmEnv...)
		if err != nil {
			t.Fatal(err)
		}
		if found := append(faults(p, flags(t)), swarmFaults(p)...); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.fault) }) {
			t.Errorf("%s: %q", c.name, found)
		}
	}
	tool.Checked(t, "dockercheck", "(Docker's own loader)", "swarm.yaml: what docker stack deploy refuses or passes over, and our rules")
}

// TestSwarmRuns starts swarm.yaml on two machines, as far as one can: the overlay is a switch, Docker's DNS is dnsmasq.
func TestSwarmRuns(t *testing.T) {
	image, err := buildImage(t, dockerfile(t))
	if err != nil {
		t.Fatal(err)
	}
	lan := netns.NewLAN(t)
	subnet := strings.TrimSuffix(lan.Host.String(), ".1") + ".0/24"
	p := mustLoad(t, swarmFile, append(swarmEnv, "SUBNET="+subnet)...)
	stations, addrs := map[string]*netns.Station{}, map[string]string{}
	for _, name := range []string{"redis", "nats1", "nats2", "nats3", "mediad", "mediad#2", "haproxy"} {
		stations[name] = lan.Station()
		addrs[name] = stations[name].Addr.String()
	}
	site := newSite(t, p, image, addrs)
	site.secrets = swarmSecrets(t)
	boxes := map[string]*box{}
	start := func(name string) {
		t.Helper()
		service, _, _ := strings.Cut(name, "#")
		s := p.Services[service]
		if service == "mediad" {
			here := addrs[name] // no cloud to ask
			s.Environment["WEEVER_PUBLIC_IP"] = &here
			p.Services[service] = s
		}
		b := site.box(service, stations[name])
		boxes[name] = b
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%s: %s", name, b.Said())
			}
		})
		if err := b.start(); err != nil {
			t.Fatal(err)
		}
		eventually.Nil(t, 30*time.Second, name, b.healthy)
	}
	for _, name := range []string{"redis", "nats1", "nats2", "nats3", "mediad", "mediad#2"} {
		start(name)
	}
	resolver(t, stations["haproxy"], addrs["mediad"], addrs["mediad#2"])
	start("haproxy")

	pool := x509.NewCertPool()
	cert, err := os.ReadFile(site.secrets["weever-pem"])
	if err != nil || !pool.AppendCertsFromPEM(cert) {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}}}
	post := func() (status int) {
		resp, err := client.Post("https://"+addrs["haproxy"]+":8440/pub/tea/ann", "application/sdp", strings.NewReader("v=0\r\n"))
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	// No token: the nodes refuse, each in its turn. That is an answer of theirs, not of the balancer.
	eventually.True(t, 30*time.Second, "an answer through the balancer", func() bool { return post() == http.StatusUnauthorized })
	boxes["mediad"].Signal(syscall.SIGTERM) // nobody is there: the drain is over at once
	<-boxes["mediad"].Exited()
	if code := boxes["mediad"].ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for range 20 {
		if status := post(); status != http.StatusUnauthorized {
			t.Errorf("a request after one of two nodes has gone: %d", status)
		}
	}
	tool.Checked(t, "haproxy", strings.Fields(tool.Call{}.Run(t, program("haproxy"), "-v"))[2], "swarm.yaml's services started as it says: nodes found by DNS, and asked whether they are ready")
}

// swarmSecrets makes the files that a swarm's operator brings.
func swarmSecrets(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"admin", "tls"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tool.Call{Dir: "."}.Run(t, "go", "run", "./helper", "secrets", dir, "example.com")
	var pem []byte
	for _, name := range []string{"cert.pem", "cert.pem.key"} {
		text, err := os.ReadFile(filepath.Join(dir, "tls", name))
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, text...)
	}
	file := filepath.Join(dir, "weever.pem")
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"weever-pem": file, "weever-admin-token": filepath.Join(dir, "admin", "admin-token")}
}

// resolver answers on a station where Docker does, with the addresses of all tasks of mediad.
func resolver(t *testing.T, at *netns.Station, addrs ...string) {
	t.Helper()
	args := []string{"--keep-in-foreground", "--log-facility=-", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--listen-address=127.0.0.11", "--user=root", "--pid-file="}
	for _, a := range addrs {
		args = append(args, "--host-record=tasks.mediad,"+a)
	}
	path, err := exec.LookPath("/usr/sbin/dnsmasq")
	if err != nil {
		t.Fatalf("dnsmasq is missing: %v. Get it with: make setup", err)
	}
	dns := proc.New(t, "dnsmasq")
	t.Cleanup(dns.Stop)
	if err := dns.Run(at.Command(t.Context(), path, args...), "started", 10*time.Second); err != nil {
		t.Fatal(err)
	}
}
