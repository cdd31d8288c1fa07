package terraform

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"weever/shared/eventually"
	"weever/shared/testkit/netns"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

const (
	storeName  = "master.weever.abcdef.euc1.cache.amazonaws.com" // as tests/plan.tftest.hcl makes it up
	storeAddr  = "10.42.200.1"
	natsAddr   = "10.42.128.10"
	consulAddr = "10.42.128.30"
	nodeAddr   = "10.42.0.5"
	nodeID     = "i-0123456789abcdef0"
)

// An installation of one server of each kind and one node boots from its user-data: with the real AWS CLI, curl, openssl, mediad,
// nats-server and Consul, in roots and networks of their own. In place of the cloud are a server that speaks its protocols and a Redis.
func TestInstancesBootFromUserData(t *testing.T) {
	t.Parallel()
	c := &cloud{objects: map[string]string{}, planned: "InService"}
	b := render(t, pack(t, c, "mediad"), pack(t, c, "consul"), pack(t, c, "nats-server"))
	t.Run("a node", func(t *testing.T) { nodeBoots(t, c, b) })
	t.Run("no node", func(t *testing.T) { nodesThatCannotBe(t, c, b) })
}

func nodeBoots(t *testing.T, c *cloud, b boot) {
	for name, user := range map[string]config{"node": b.node, "nats": b.nats, "consul": b.consul} {
		// The certificates that the plan makes up are shorter than real ones: each node and server has two at most.
		if len(user.text) > 16384-2*800 {
			t.Errorf("user-data of %s has %d bytes, EC2 takes 16384", name, len(user.text))
		}
		for arn, text := range b.secrets {
			if strings.Contains(user.text, text) {
				t.Errorf("user-data of %s has the secret %s in it", name, b.addresses[arn])
			}
		}
	}
	ca := newAuthority(t)
	c.secrets = ca.secrets(t, b)

	servers, nodes := connected(t)
	c.serve(t, servers, "i-server")
	c.serve(t, nodes, nodeID)
	store(t, servers, ca, b)

	bus := newMachine(t, servers, b.nats, map[string]string{"/etc/nats/ca.pem": ca.pem}, ca)
	bus.start(t, "0")
	discovery := newMachine(t, servers, b.consul, map[string]string{"/etc/consul.d/ca.pem": ca.pem}, ca)
	discovery.start(t, "0")
	node := newMachine(t, nodes, b.node, map[string]string{"/etc/weever/nats-ca.pem": ca.pem, "/etc/consul.d/ca.pem": ca.pem}, ca)
	node.start(t, "0")

	if got := node.out("mediad"); got != wantDefaults {
		t.Errorf("/etc/default/mediad is\n%s\nnot\n%s", got, wantDefaults)
	}
	for _, secret := range []string{"redis", "nats", "admin-token", "key.pem", "consul-gossip.json"} {
		if !regexp.MustCompile(`(?m)^-rw------- 1 root root .* ` + secret + `$`).MatchString(node.out("files")) {
			t.Errorf("/etc/weever/%s is not root's alone:\n%s", secret, node.out("files"))
		}
	}
	if here, err := os.Lstat("/lib"); err == nil && here.Mode()&os.ModeSymlink != 0 && !strings.Contains(node.out("folders"), "/lib -> ") {
		t.Errorf("unpacking has put a folder in the place of the link /lib:\n%s", node.out("folders"))
	}
	for arn, text := range c.secrets {
		if strings.Contains(node.process.Said()+node.logs(), text) {
			t.Errorf("the logs of the node have the secret %s in them", b.addresses[arn])
		}
	}
	if !c.completed("weever-nodes ready CONTINUE " + nodeID) {
		t.Errorf("the group was not told that the node is ready: %q", c.actions)
	}
	eventually.True(t, 30*time.Second, "the node in Consul", func() bool {
		return strings.Contains(in(t, servers, "curl", "-s", "http://127.0.0.1:8500/v1/health/service/weever-mediad?passing"), `"ID":"`+nodeID+`"`)
	})

	c.terminate()
	eventually.True(t, 30*time.Second, "the end of the drain, which the group is told", func() bool {
		return c.completed("weever-nodes drain CONTINUE " + nodeID)
	})
	if log := node.out("mediad.service.log"); !strings.Contains(log, "drain") {
		t.Errorf("the node was not drained:\n%s", log)
	}
	if t.Failed() {
		t.Log(node.logs())
	}
	tool.Checked(t, "aws", word(tool.Call{}.Run(t, "aws", "--version"), 0), "boot and drain scripts of infra/terraform, run on instances of the test with mediad, NATS and Consul")
}

const wantDefaults = `WEEVER_CONSUL=127.0.0.1:8500
WEEVER_CORS_DOMAIN=example.org,example.net
WEEVER_DRAIN_TIMEOUT=60s
WEEVER_LOG_FORMAT=json
WEEVER_MAX_SESSIONS=700
WEEVER_NAMESPACE=weever
WEEVER_NATS_CA_FILE=/etc/weever/nats-ca.pem
WEEVER_PORT=8443
WEEVER_PRIVATE_HOST=0.0.0.0
WEEVER_PRIVATE_PORT=9443
WEEVER_PUBLIC_IP=auto
WEEVER_REGION=eu-central-1
WEEVER_TRUSTED_PROXIES=10.42.0.0/20,10.42.16.0/20
WEEVER_UDP_PORT=8443
WEEVER_NODE_ID=` + nodeID + "\n"

// An instance that cannot become a node says why, and is given up.
func nodesThatCannotBe(t *testing.T, c *cloud, b boot) {
	ca := newAuthority(t)
	c.secrets = ca.secrets(t, b)
	_, nodes := connected(t)
	c.serve(t, nodes, nodeID)
	env := b.node.file(t, "/etc/weever/boot.env")
	for _, f := range []struct{ name, old, new, says string }{
		{"package that is another", "MEDIAD_SHA256='", "MEDIAD_SHA256='0", "is not what the configuration says: its SHA-256 is "},
		{"package that is not there", "/mediad_", "/mediadd_", "cannot be fetched"},
		{"secret that may not be read", "NATS_SECRET='", "NATS_SECRET='x", "the secret for /etc/weever/nats is empty"},
		{"setting that mediad refuses", "", "", "the node is ready: not within the time"},
	} {
		t.Run(f.name, func(t *testing.T) {
			c.forget()
			instead := map[string]string{"/etc/weever/boot.env": strings.Replace(env, f.old, f.new, 1), "/etc/weever/nats-ca.pem": ca.pem, "/etc/consul.d/ca.pem": ca.pem}
			if f.old == "" {
				instead["/etc/weever/boot.env"] = env + "READY_SECONDS='3'\n"
				instead["/etc/weever/mediad.env"] = b.node.file(t, "/etc/weever/mediad.env") + "WEEVER_MAX_CPU=many\n"
			}
			m := newMachine(t, nodes, b.node, instead, ca)
			m.start(t, "1")
			m.process.Stop()
			if said := m.process.Said(); !strings.Contains(said, f.says) {
				t.Errorf("it did not say %q but: %s", f.says, said)
			}
			if f.old == "" && !strings.Contains(m.logs(), "--max-cpu") {
				t.Errorf("mediad did not name the flag: %s", m.logs())
			}
			if !c.completed("weever-nodes ready ABANDON " + nodeID) {
				t.Errorf("the group was not told: %q", c.actions)
			}
		})
	}
	tool.Checked(t, "aws", word(tool.Call{}.Run(t, "aws", "--version"), 0), "negative: an instance that cannot be a node says why and is given up")
}

// connected are two networks with a cable between them, the cloud's address in each: of the servers, and of a node.
func connected(t *testing.T) (servers, nodes *netns.Machine) {
	t.Helper()
	network := netns.New(t)
	servers, nodes = network.Machine(), network.Machine()
	in(t, servers, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", nodes.Name)
	for _, a := range []string{storeAddr, natsAddr, consulAddr} {
		in(t, servers, "ip", "addr", "add", a+"/16", "dev", "eth0")
	}
	in(t, nodes, "ip", "addr", "add", nodeAddr+"/16", "dev", "eth0")
	for _, m := range []*netns.Machine{servers, nodes} {
		in(t, m, "ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
		in(t, m, "ip", "link", "set", "eth0", "up")
	}
	in(t, nodes, "ip", "route", "add", "default", "via", storeAddr)
	return servers, nodes
}

// pack makes a program's archive as instances fetch it, puts it into the bucket and says where it is.
func pack(t *testing.T, c *cloud, program string) archive {
	t.Helper()
	dir := t.TempDir()
	name := program + "_1.0.0_" + runtime.GOARCH + ".tar.gz"
	tree := filepath.Join(dir, "usr/local/bin")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	switch program {
	case "mediad": // by the script of make package
		tool.Call{Dir: "../..", Env: []string{"CGO_ENABLED=0"}}.Run(t, "go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "mediad-"+runtime.GOARCH, "mediad"), "./mediad")
		tool.Call{Dir: "../..", Env: []string{"PATH=" + quick(t) + ":" + os.Getenv("PATH")}}.Run(t, "sh", "infra/systemd/package.sh", runtime.GOARCH, "1.0.0", "1", dir)
	case "consul":
		consul, err := tool.Find("consul")
		if err != nil {
			t.Fatal(err)
		}
		tool.Call{Dir: dir}.Run(t, "tar", "-I", "gzip -1", "-cf", name, "--transform", "s|.*|usr/local/bin/consul|", "-P", consul)
	default:
		tool.Call{Dir: "../..", Env: []string{"CGO_ENABLED=0"}}.Run(t, "go", "build", "-ldflags", "-s -w", "-o", tree, "github.com/nats-io/nats-server/v2")
		tool.Call{Dir: dir}.Run(t, "tar", "-I", "gzip -1", "-cf", name, "usr")
	}
	file := filepath.Join(dir, name)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	c.objects["weever-packages/"+name] = file
	return archive{"s3://weever-packages/" + name, hex.EncodeToString(sum[:])}
}

// quick is a folder of programs that do not take half a minute to make packages small: only the .tar.gz is wanted, of whatever size.
func quick(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, script := range map[string]string{"gzip": "exec /bin/gzip -n -1\n", "dpkg-deb": "exit 0\n"} {
		planted.Write(t, filepath.Join(dir, name), "#!/bin/sh\n"+script)
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	return dir
}

// store starts a Redis that looks like ElastiCache: TLS, a password, a name.
func store(t *testing.T, m *netns.Machine, ca authority, b boot) {
	t.Helper()
	dir := t.TempDir()
	cert := filepath.Join(dir, "tls.pem")
	planted.Write(t, cert, ca.issue(t, storeName))
	planted.Write(t, filepath.Join(dir, "ca.pem"), ca.pem)
	password := ""
	for arn, address := range b.addresses {
		if strings.HasPrefix(address, "module.state.") {
			_, rest, _ := strings.Cut(b.secrets[arn], "rediss://:")
			password, _, _ = strings.Cut(rest, "@")
		}
	}
	if password == "" {
		t.Fatal("the store's secret has no password in it")
	}
	p := proc.New(t, "redis-server")
	t.Cleanup(p.Stop)
	cmd := m.Command(t.Context(), "redis-server", "--port", "0", "--tls-port", "6379", "--bind", storeAddr, "--tls-cert-file", cert, "--tls-key-file", cert,
		"--tls-ca-cert-file", filepath.Join(dir, "ca.pem"), "--tls-auth-clients", "no", "--requirepass", password, "--save", "", "--dir", dir)
	if err := p.Run(cmd, "Ready to accept connections", proc.StartLimit); err != nil {
		t.Fatal(err)
	}
}
