package compose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// flags are the variables that mediad knows: the README's table, which is made from the code and tested against it.
func flags(t *testing.T) []string {
	t.Helper()
	_, table, _ := strings.Cut(planted.Read(t, filepath.Join("..", "..", "README.md")), "<!-- config:begin -->")
	table, _, _ = strings.Cut(table, "<!-- config:end -->")
	names := regexp.MustCompile("WEEVER_[A-Z_]+").FindAllString(table, -1)
	if len(names) < 40 {
		t.Fatalf("the README has %d settings", len(names))
	}
	return names
}

// promised are the ports of a single machine: what is behind each.
var promised = map[string]string{
	"8443/tcp": "mediad1", "8444/tcp": "mediad2", "8445/tcp": "mediad3", "8443/udp": "mediad1", "8444/udp": "mediad2", "8445/udp": "mediad3",
	"9443/tcp": "mediad1", "8440/tcp": "haproxy", "9090/tcp": "prometheus", "3000/tcp": "grafana",
}

func TestCompose(t *testing.T) {
	p := mustLoad(t, composeFile)
	for _, f := range append(faults(p, flags(t)), nodeFaults(p)...) {
		t.Error(f)
	}
	got := map[string]string{}
	for name, s := range p.Services {
		for _, port := range s.Ports {
			got[port.Published+"/"+port.Protocol] = name
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to others before anybody said so", name, port.Published)
			}
		}
	}
	if len(got) != len(promised) {
		t.Errorf("published: %v", got)
	}
	for port, name := range promised {
		if got[port] != name {
			t.Errorf("port %s is %q's, want %q", port, got[port], name)
		}
	}
	want := []string{"consul", "grafana", "haproxy", "mediad1", "mediad2", "mediad3", "nats1", "nats2", "nats3", "prometheus", "redis", "secrets"}
	if names := p.ServiceNames(); !slices.Equal(names, want) {
		t.Errorf("services %v", names)
	}

	for name, tested := range map[string]string{
		"nats1":      "nats:" + version(t, "github.com/nats-io/nats-server/v2")[1:],
		"consul":     "hashicorp/consul:" + required(t, "consul", "github.com/hashicorp/consul")[1:],
		"prometheus": "prom/prometheus:" + strings.Replace(required(t, "prometheus", "github.com/prometheus/prometheus"), "v0.3", "v3.", 1), // as they number it
	} {
		if image, _, _ := strings.Cut(p.Services[name].Image, "-alpine"); image != tested {
			t.Errorf("%s is %s, tested is %s", name, image, tested)
		}
	}

	open := mustLoad(t, composeFile, "BIND=0.0.0.0", "PUBLIC_IP=192.0.2.7", "AUTH=on", "SUBNET=10.9.8")
	for _, f := range append(faults(open, flags(t)), nodeFaults(open)...) {
		t.Error(f)
	}
	for _, name := range []string{"mediad1", "mediad2", "mediad3"} {
		if env := open.Services[name].Environment; *env["WEEVER_PUBLIC_IP"] != "192.0.2.7" || *env["WEEVER_AUTH"] != "on" || *env["WEEVER_TRUSTED_PROXIES"] != open.Services["haproxy"].Networks["default"].Ipv4Address {
			t.Errorf("%s: %v", name, env)
		}
	}
	for _, name := range []string{"prometheus", "grafana"} {
		if ip := open.Services[name].Ports[0].HostIP; ip != "127.0.0.1" {
			t.Errorf("%s is open to %s", name, ip)
		}
	}
	tool.Checked(t, "compose-go", version(t, "github.com/compose-spec/compose-go/v2"), "compose.yaml: schema, variables, images, privileges, ports, mounts, settings")
}

func TestComposeFindsMistakes(t *testing.T) {
	known := flags(t)
	for _, c := range []struct{ name, old, next, fault string }{
		{"no version", "nats:2.15.2-alpine", "nats:latest", `image "nats:latest" has no whole version`},
		{"part of a version", "redis:7.4.1-alpine", "redis:7-alpine", "no whole version"},
		{"privileged", "image: redis", "privileged: true\n    image: redis", "redis: has capabilities"},
		{"a capability", "cap_drop: [ALL]", "cap_drop: [CHOWN]", "has capabilities"},
		{"new privileges", `security_opt: ["no-new-privileges:true"]`, "security_opt: []", "may gain privileges"},
		{"a root that can be written", "read_only: true", "read_only: false", "can write to its image"},
		{"root", `user: "99:99"`, `user: "0:0"`, "haproxy: runs as root"},
		{"no user", `user: "99:99"`, "", "haproxy: runs as root, or"},
		{"no health check", "healthcheck: {test: [CMD, nc", "x-health: {test: [CMD, nc", "haproxy: has no health check"},
		{"a port twice", "8445:8445/udp", "8444:8444/udp", "is taken by"},
		{"no UDP port", `, "${BIND:-127.0.0.1}:8444:8444/udp"`, "", "mediad2: udp port 8444 is not published"},
		{"another UDP port outside", "8445:8445/udp", "9445:8445/udp", "mediad3: udp port 8445 is published as 9445"},
		{"another UDP port inside", `WEEVER_UDP_PORT: "8444"`, `WEEVER_UDP_PORT: "8443"`, "mediad2: udp port 8444 is published as 8444"},
		{"the private API in public", "127.0.0.1:9443:9443", "0.0.0.0:9443:9443", "mediad1: the private API is open to others"},
		{"another's address", "WEEVER_PRIVATE_HOST: ${SUBNET:-172.29.83}.5", "WEEVER_PRIVATE_HOST: ${SUBNET:-172.29.83}.6", "mediad2: is announced at"},
		{"no such file", "./nats.conf", "./nats.cfg", "nats1: mounts what is not in the repository"},
		{"a file that can be written", "/etc/consul/consul.hcl:ro", "/etc/consul/consul.hcl", "consul: can write to"},
		{"another image's files in our volume", "admin:/etc/prometheus:nocopy", "admin:/etc/prometheus", "prometheus: may put what its image has"},
		{"no such setting", "WEEVER_CONSUL:", "WEEVER_CONSULS:", "WEEVER_CONSULS is no setting of mediad"},
		{"no such health", "healthcheck: {test: [CMD, redis-cli, ping]", "healthcheck: {disable: true, test: [CMD, redis-cli, ping]", "waits for the health of redis"},
		{"no such service", "redis: {condition: service_healthy}", "reddis: {condition: service_healthy}", `undefined service "reddis"`},
		{"a word that Compose does not know", "tmpfs:", "tempfs:", "tempfs"},
		{"no such volume", "redis:/data", "radis:/data", "undefined volume radis"},
		{"no such network", "networks: {default: {ipv4_address", "networks: {front: {ipv4_address", "undefined network front"},
		{"a port that is none", "3000:3000/tcp", "300000:3000/tcp", "300000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := load(mutated(t, composeFile, c.old, c.next))
			var found []string
			if err != nil {
				found = []string{err.Error()}
			} else {
				found = append(faults(p, known), nodeFaults(p)...)
			}
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.fault) }) {
				t.Errorf("not found: %q in %q", c.fault, found)
			}
		})
	}
}

// TestBus: the servers of a single machine have the limits of those of a region.
func TestBus(t *testing.T) {
	for k, v := range map[string]string{
		"NATS_NAME": "nats1", "NATS_REGION": "weever", "NATS_LISTEN": `"127.0.0.1:4222"`, "NATS_MONITOR": `"127.0.0.1:8222"`,
		"NATS_CLUSTER_LISTEN": `"127.0.0.1:6222"`, "NATS_ROUTES": "[]", "NATS_PASSWORD": `"a"`, "NATS_ADMIN_PASSWORD": `"b"`,
	} {
		t.Setenv(k, v)
	}
	here, err := server.ProcessConfigFile("nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	// Without TLS, which wants files.
	text, err := os.ReadFile("../nats/region.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plain := regexp.MustCompile(`(?s)tls \{.*?\}`).ReplaceAllString(string(text), "")
	accounts, err := os.ReadFile("../nats/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"region.conf": plain, "accounts.conf": string(accounts)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there, err := server.ProcessConfigFile(filepath.Join(dir, "region.conf"))
	if err != nil {
		t.Fatal(err)
	}
	limits := func(o *server.Options) []any {
		return []any{o.MaxPayload, o.WriteDeadline, o.MaxPending, o.PingInterval, o.MaxPingsOut}
	}
	if a, b := limits(here), limits(there); !slices.Equal(a, b) {
		t.Errorf("limits here %v, in a region %v", a, b)
	}
}
