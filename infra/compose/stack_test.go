package compose

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"weever/shared/eventually"
	"weever/shared/testkit/netns"
	"weever/shared/testkit/tool"
)

// public is the machine's address, as browsers know it (RFC 5737: for documentation).
const public = "203.0.113.9"

// order is in which the services get their addresses: those that are written down first.
var order = []string{"consul", "haproxy", "mediad1", "mediad2", "mediad3", "redis", "nats1", "nats2", "nats3", "prometheus", "secrets"}

// stack is everything in compose.yaml that can be had here: all but Grafana.
type stack struct {
	t       *testing.T
	project *types.Project
	addrs   map[string]string
	boxes   map[string]*box
	machine *netns.Station // from which clients come, by the published ports alone
	image   string
	volumes string
}

func startStack(t *testing.T) *stack {
	t.Helper()
	image, err := buildImage(t, dockerfile(t))
	if err != nil {
		t.Fatal(err)
	}
	lan := netns.NewLAN(t)
	subnet := strings.TrimSuffix(lan.Host.String(), ".1")
	s := &stack{
		t: t, image: image, addrs: map[string]string{}, boxes: map[string]*box{},
		project: mustLoad(t, composeFile, "SUBNET="+subnet, "PUBLIC_IP="+public, "ADMIN_TOKEN=sesame-open-sesame"),
	}
	stations := map[string]*netns.Station{}
	for _, name := range order {
		stations[name] = lan.Station()
		s.addrs[name] = stations[name].Addr.String()
		if n := s.project.Services[name].Networks["default"]; n != nil && n.Ipv4Address != "" && n.Ipv4Address != s.addrs[name] {
			t.Fatalf("%s wants %s", name, n.Ipv4Address)
		}
	}
	site := newSite(t, s.project, image, s.addrs)
	s.volumes = site.volumes
	s.machine = lan.Station()
	for _, args := range [][]string{{"ip", "addr", "add", public + "/32", "dev", "lo"}} {
		if out, err := s.machine.Command(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	s.publish("tcp|udp")
	t.Cleanup(func() {
		for name, b := range s.boxes {
			if t.Failed() {
				t.Logf("%s: %s", name, b.Said())
			}
		}
	})
	err = s.project.ForEachService(order, func(name string, _ *types.ServiceConfig) error {
		if s.boxes[name] != nil || stations[name] == nil {
			return nil
		}
		b := site.box(name, stations[name])
		s.boxes[name] = b
		if err := b.start(); err != nil || b.service.Restart == "no" {
			return err
		}
		return eventually.Try(30*time.Second, b.healthy)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stack) publish(protocols string) {
	s.t.Helper()
	cmd := s.machine.Command(s.t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(publish(s.project, s.addrs, public, protocols))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("nft: %v: %s", err, out)
	}
}

// report is what `mediad load` says, as far as it is of interest.
type report struct {
	Publishers, Subscribers struct{ Joined, Failed int }
	Video                   struct {
		Tracks  int
		Packets uint64
	}
	Errors []struct{ Text string }
}

// load runs clients on the machine, against one of the published ports.
func (s *stack) load(port string, args ...string) (r report, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"load", "--json", "--insecure", "--whep", "--url=https://" + net.JoinHostPort(public, port)}, args...)
	cmd := s.machine.Command(ctx, filepath.Join(s.image, "usr/bin/mediad"), args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, said.String())
	}
	return r, json.Unmarshal(out, &r)
}

// get asks a service for a page, with the admin token.
func (s *stack) get(service, port, path string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+net.JoinHostPort(s.addrs[service], port)+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sesame-open-sesame")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// count is a metric of a node, by its name and a piece of its labels.
func (s *stack) count(node, name, labels string) int {
	s.t.Helper()
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`\{([^}]*)\} (\S+)$`).FindAllStringSubmatch(s.get(node, "9443", "/metrics"), -1) {
		if v, err := strconv.ParseFloat(m[2], 64); err == nil && strings.Contains(m[1], labels) {
			sum += v
		}
	}
	return int(sum)
}

func TestStack(t *testing.T) {
	s := startStack(t)
	nodes := []string{"mediad1", "mediad2", "mediad3"}
	eventually.True(t, 30*time.Second, "three nodes in Consul", func() bool {
		var entries []any
		return json.Unmarshal([]byte(s.get("consul", "8500", "/v1/health/service/weever-mediad?passing=true")), &entries) == nil && len(entries) == 3
	})

	// Through the balancer: one publishes, three watch. By turns they come to all nodes.
	eventually.Nil(t, 20*time.Second, "a session through the balancer", func() error {
		_, err := s.load("8440", "--pubs=1", "--subs=0", "--room=first", "--duration=1s")
		return err
	})
	before := map[string]int{}
	for _, n := range nodes {
		before[n] = s.count(n, "weever_joins_total", `outcome="ok",role="sub"`)
	}
	r, err := s.load("8440", "--pubs=1", "--subs=3", "--room=tea", "--duration=2s")
	if err != nil || r.Subscribers.Joined != 3 || r.Video.Tracks != 3 || r.Video.Packets == 0 {
		t.Errorf("through the balancer: %+v, %v", r, err)
	}
	for _, n := range nodes {
		if joined := s.count(n, "weever_joins_total", `outcome="ok",role="sub"`) - before[n]; joined != 1 {
			t.Errorf("%d viewers came to %s, want one to each", joined, n)
		}
	}
	relayed := 0
	for _, n := range nodes {
		relayed += s.count(n, "weever_relay_packets_total", `direction="in"`)
	}
	if relayed == 0 {
		t.Error("no node had media from another")
	}

	s.direct()
	s.closed()
	s.watched()
	s.drained()
	s.quiet()
	var versions []string
	for name, args := range map[string][]string{"haproxy": {"-v"}, "nats-server": {"--version"}, "redis-server": {"--version"}, "consul": {"version"}} {
		if m := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(tool.Call{}.Run(t, program(name), args...)); m != "" {
			versions = append(versions, name+" "+m)
		}
	}
	tool.Checked(t, "the services themselves", "("+strings.Join(versions, ", ")+", prometheus)", "compose.yaml started as it stands, all but Grafana: WHIP at one node through the balancer, WHEP at the others")
}

// program is where a program is: Debian has some where only root looks.
func program(name string) string {
	if path := "/usr/sbin/" + name; exists(path) {
		return path
	}
	return name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// direct uses the nodes' own ports: who publishes at the first is seen at the third. And the page is there.
func (s *stack) direct() {
	t := s.t
	t.Helper()
	published := make(chan error, 1)
	go func() {
		_, err := s.load("8443", "--pubs=1", "--subs=0", "--room=direct", "--duration=6s")
		published <- err
	}()
	eventually.Nil(t, 10*time.Second, "a viewer at the third node", func() error {
		r, err := s.load("8445", "--pubs=0", "--subs=1", "--room=direct", "--duration=1s")
		if err == nil && r.Subscribers.Joined != 1 {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
	if err := <-published; err != nil {
		t.Error(err)
	}
	if n := s.count("mediad3", "weever_relay_packets_total", `direction="in"`); n == 0 {
		t.Error("the third node had no media from the first")
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // it has just been made
	for node, port := range map[string]string{"mediad1": "8443", "mediad2": "8444", "mediad3": "8445", "haproxy": "8440"} {
		resp, err := client.Get("https://" + net.JoinHostPort(s.addrs[node], port) + "/")
		if err != nil {
			t.Error(err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.Contains(string(body), "<title>Weever</title>") || resp.TLS.PeerCertificates[0].VerifyHostname(public) != nil {
			t.Errorf("%s: %s %s", node, resp.Status, body)
		}
	}
}

// watched asks Prometheus whether it found the nodes and read its rules.
func (s *stack) watched() {
	t := s.t
	t.Helper()
	type series struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  []any
			}
			Groups []any
		}
	}
	query := func(path string) (r series) {
		if err := json.Unmarshal([]byte(s.get("prometheus", "9090", path)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	eventually.True(t, 45*time.Second, "Prometheus to have scraped three nodes", func() bool {
		r := query("/api/v1/query?query=" + url.QueryEscape(`up{job="weever-mediad"} == 1`))
		return len(r.Data.Result) == 3
	})
	if r := query("/api/v1/rules"); len(r.Data.Groups) == 0 {
		t.Error("Prometheus has no rules")
	}
}

// closed shows that media goes by the published UDP ports, and by nothing else: without them nobody comes in.
func (s *stack) closed() {
	s.t.Helper()
	s.publish("tcp")
	if r, err := s.load("8440", "--pubs=1", "--subs=0", "--room=closed", "--duration=1s"); err == nil || r.Publishers.Joined > 0 {
		s.t.Errorf("media without a UDP port: %+v, %v", r, err)
	}
	s.publish("tcp|udp")
}

// drained ends a node as Compose does; the others go on.
func (s *stack) drained() {
	t := s.t
	t.Helper()
	gone := s.boxes["mediad2"]
	gone.Signal(syscall.SIGTERM)
	select {
	case <-gone.Exited():
	case <-time.After(30 * time.Second):
		t.Fatalf("mediad2 does not end: %s", gone.Said())
	}
	if code := gone.ExitCode(); code != 0 {
		t.Errorf("mediad2: exit code %d", code)
	}
	if r, err := s.load("8440", "--pubs=1", "--subs=2", "--room=less", "--duration=1s"); err != nil || r.Subscribers.Joined != 2 {
		t.Errorf("with two nodes: %+v, %v", r, err)
	}
}

// quiet looks for secrets in what everybody has said, and at who may read them.
func (s *stack) quiet() {
	t := s.t
	t.Helper()
	for name, b := range s.boxes {
		if said := b.Said(); strings.Contains(said, "sesame") || strings.Contains(said, "PRIVATE KEY") {
			t.Errorf("%s tells secrets: %s", name, said)
		}
	}
	for _, name := range []string{"admin/admin-token", "tls/cert.pem.key"} {
		info, err := os.Stat(filepath.Join(s.volumes, name))
		if err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
