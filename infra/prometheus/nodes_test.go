package prometheus

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"weever/shared/eventually"
	"weever/shared/testkit"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

// adminToken is that of the nodes' private API.
const adminToken = "only-for-tests"

// cluster is two nodes with people at both: publishers at the first, viewers at both.
type cluster struct {
	dir         string // with the files admin-token and tls/cert.pem
	consul      string // host:port
	privatePort string
	nodes       []*mediaNode
	stop        func() // nobody comes and goes any more
}

type mediaNode struct {
	*proc.Process
	public, private string // URLs
}

// programs is the folder of what was built.
var programs string

// mediad builds the program once.
var mediad = sync.OnceValues(func() (string, error) {
	root, err := tool.Root()
	if err != nil {
		return "", err
	}
	if programs, err = os.MkdirTemp("", "weever-mediad-"); err != nil {
		return "", err
	}
	bin := filepath.Join(programs, "mediad")
	cmd := exec.Command("go", "build", "-o", bin, "./mediad")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./mediad: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	m.Run()
	_ = os.RemoveAll(programs)
}

// startCluster starts everything that nodes need, two of them, and people.
func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), consul: strings.TrimPrefix(testkit.Consul(t), "http://"), privatePort: proc.FreePort(t, "127.0.0.1")}
	planted.Write(t, filepath.Join(c.dir, "admin-token"), adminToken)
	for _, folder := range []string{"admin", "tls"} {
		if err := os.Mkdir(filepath.Join(c.dir, folder), 0o755); err != nil { //nolint:gosec // the test's own
			t.Fatal(err)
		}
	}
	tool.Call{}.Run(t, "go", "run", "weever/infra/compose/helper", "secrets", c.dir, "127.0.0.1", "127.0.0.2")
	redis, nats := testkit.Redis(t), testkit.NATS(t)
	for i, host := range []string{"127.0.0.1", "127.0.0.2"} {
		c.nodes = append(c.nodes, c.start(t, fmt.Sprintf("node-%d", i+1), host, "--redis="+redis, "--nats="+nats))
	}
	c.people(t, c.nodes[0], "--pubs=2", "--subs=2")
	c.nodes[0].await(t, `weever_sessions{role="pub",state="live"} 2`) // viewers who find nobody are not measured
	c.people(t, c.nodes[1], "--pubs=0", "--subs=2")
	c.stop = c.comeAndGo(t)
	c.nodes[0].await(t, `weever_session_ends_total{.*role="sub"`)
	c.nodes[1].await(
		t, `weever_rtp_sent_packets_total{kind="video"} [1-9]`, `weever_relay_hop_seconds_count [1-9]`, `weever_join_media_seconds_count [1-9]`,
		`weever_backend_up{backend="consul"} 1`, `weever_lease_age_seconds`, `weever_nodes{.*} 2`,
	)
	return c
}

// start starts a node on an address of this machine.
func (c *cluster) start(t testing.TB, id, host string, flags ...string) *mediaNode {
	t.Helper()
	n := &mediaNode{Process: proc.New(t, id), private: "http://" + host + ":" + c.privatePort}
	t.Cleanup(n.Stop)
	cert := filepath.Join(c.dir, "tls", "cert.pem")
	cmd := exec.Command(n.Path(t), append([]string{
		"--node-id=" + id, "--cert-file=" + cert, "--key-file=" + cert + ".key", "--host=" + host, "--port=0", "--private-host=" + host, "--private-port=" + c.privatePort,
		"--admin-token-file=" + filepath.Join(c.dir, "admin-token"), "--udp-port=0", "--interfaces=lo", "--no-auth", "--rate-limit=off",
		"--consul=" + c.consul, "--max-egress-mbps=10000", "--max-cpu=100",
	}, flags...)...)
	if err := n.Run(cmd, "msg=serving", proc.StartLimit); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	found := regexp.MustCompile(`msg=serving .*?url=(\S+)`).FindStringSubmatch(n.Said())
	if found == nil {
		t.Fatalf("%s does not say where it serves: %s", id, n.Said())
	}
	n.public = found[1]
	return n
}

// people come to a node and stay until the test ends.
func (c *cluster) people(t testing.TB, n *mediaNode, flags ...string) {
	t.Helper()
	cmd := exec.Command(n.Path(t), append([]string{"load", "--insecure", "--url=" + n.public, "--room=tea", "--traffic=browser", "--duration=10m"}, flags...)...)
	cmd.SysProcAttr = proc.DieWithParent()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
}

// comeAndGo lets a publisher and a viewer come to the nodes by turns, for a second, until stop is called or the test ends.
func (c *cluster) comeAndGo(t testing.TB) (stop func()) {
	t.Helper()
	bin := c.nodes[0].Path(t)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for i := 0; ctx.Err() == nil; i++ {
			cmd := exec.CommandContext(ctx, bin, "load", "--insecure", "--url="+c.nodes[i%2].public, "--room=short", "--pubs=1", "--subs=1", "--duration=1s")
			cmd.SysProcAttr = proc.DieWithParent()
			if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
				t.Errorf("people who come and go: %v\n%s", err, out)
				return
			}
		}
	}()
	stop = func() {
		cancel()
		<-over
	}
	t.Cleanup(stop)
	return stop
}

// Path is where the program is.
func (n *mediaNode) Path(t testing.TB) string {
	t.Helper()
	bin, err := mediad()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// metrics is what the node shows.
func (n *mediaNode) metrics(t testing.TB) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.private+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s, %v", resp.Status, err)
	}
	return string(text)
}

// await waits until the node shows series, which are the beginnings of lines.
func (n *mediaNode) await(t testing.TB, series ...string) {
	t.Helper()
	eventually.Nil(t, patience, "metrics of "+n.public, func() error {
		text := n.metrics(t)
		for _, want := range series {
			if !regexp.MustCompile("(?m)^" + want).MatchString(text) {
				return fmt.Errorf("not yet: %s", want)
			}
		}
		return nil
	})
}

// scrapes are what two nodes have shown, for all tests that want to know no more than that.
var scrapes []string

// ofNodes gives the vocabulary of real nodes.
func ofNodes(t testing.TB) vocabulary {
	t.Helper()
	if scrapes == nil {
		c := startCluster(t)
		for _, n := range c.nodes {
			scrapes = append(scrapes, n.metrics(t))
		}
	}
	return readVocabulary(t, scrapes...)
}
