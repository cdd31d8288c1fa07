package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/session"
	"weever/shared/logtest"
	"weever/shared/testkit"
)

// This file is the balancer that infra/ ships: HAProxy with that very configuration, beside a real Consul agent.

// shippedHAProxy is the file under test.
const shippedHAProxy = "../infra/haproxy/haproxy.cfg"

// edge is a running HAProxy.
type edge struct {
	t      *testing.T
	url    string // "https://127.0.0.1:<port>"
	config string // its file
	extra  string // what is added for tests
	api    string // its runtime API, a socket
	env    []string
	log    *logtest.Buffer
	cmd    *exec.Cmd
	over   chan struct{} // closed when it has ended
	pace   *time.Ticker  // of post: an address may ask for so much and no more
}

// startEdge runs the shipped configuration over TLS, with each request logged. Each pair of changes is a piece of its text, which must be there, and what replaces it.
func startEdge(t *testing.T, dns string, changes ...string) *edge {
	t.Helper()
	text, err := os.ReadFile(shippedHAProxy)
	if err != nil {
		t.Fatal(err)
	}
	changes = append(changes, "local0 notice", "local0 info")
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(string(text), changes[i]) {
			t.Fatalf("%s does not say %q", shippedHAProxy, changes[i])
		}
		text = []byte(strings.ReplaceAll(string(text), changes[i], changes[i+1]))
	}
	e := &edge{t: t, config: filepath.Join(t.TempDir(), "haproxy.cfg"), pace: time.NewTicker(time.Second / 60)}
	t.Cleanup(e.pace.Stop)
	if err := os.WriteFile(e.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e.extra, e.api = filepath.Join(dir, "test.cfg"), filepath.Join(dir, "api")
	if err := os.WriteFile(e.extra, []byte("global\n  stats socket "+e.api+" mode 600 level operator\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeAddrs(t, 1)[0]
	e.url = "https://" + addr
	e.env = append(os.Environ(), "WEEVER_BIND="+addr+" ssl crt "+certificate(t)+" alpn h2,http/1.1", "CONSUL_DNS="+dns, "CONSUL_DOMAIN=consul")
	e.run()
	return e
}

// run starts the program, with more arguments, and waits until it serves.
func (e *edge) run(args ...string) {
	e.t.Helper()
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		bin = "/usr/sbin/haproxy" // where only root looks
	}
	e.log, e.over = &logtest.Buffer{}, make(chan struct{})
	e.cmd = exec.Command(bin, append([]string{"-db", "-f", e.config, "-f", e.extra}, args...)...)
	e.cmd.Env, e.cmd.Stdout, e.cmd.Stderr = e.env, e.log, e.log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		e.t.Fatalf("haproxy: %v. Get it with: apt-get install haproxy", err)
	}
	cmd, over := e.cmd, e.over
	go func() {
		_ = cmd.Wait() // killed, or its log says why
		close(over)
	}()
	e.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-over
	})
	await(e.t, "haproxy to serve", 10*time.Second, func() bool {
		select {
		case <-over:
			e.t.Fatalf("haproxy has ended: %s", e.log.String())
		default:
		}
		resp, err := insecure().Get(e.url + "/balancer")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// in is the same, for the test of a part.
func (e *edge) in(t *testing.T) *edge {
	in := *e
	in.t = t
	return &in
}

// reload puts another process in its place, which tells the old one to finish what it has. It returns the old one's end.
func (e *edge) reload() (old <-chan struct{}) {
	e.t.Helper()
	old = e.over
	e.run("-sf", strconv.Itoa(e.cmd.Process.Pid))
	return old
}

// standing is how many servers get requests, of all backends.
func (e *edge) standing() (n int) {
	c, err := new(net.Dialer).DialContext(e.t.Context(), "unix", e.api)
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "show servers state\n"); err != nil {
		e.t.Fatal(err)
	}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		// Backend, its name, server, its name, address, state (2: it is up), why it is out (64: not, its name came by DNS).
		if f := strings.Fields(lines.Text()); len(f) > 6 && f[5] == "2" && (f[6] == "0" || f[6] == "64") {
			n++
		}
	}
	return n
}

// knows waits until the balancer knows so many nodes to send requests to, and returns how long that took since began.
func (e *edge) knows(began time.Time, nodes int) time.Duration {
	e.t.Helper()
	await(e.t, "the balancer to know "+strconv.Itoa(nodes)+" nodes", 20*time.Second, func() bool { return e.standing() == 3*nodes })
	return time.Since(began).Round(10 * time.Millisecond)
}

// served matches the end of a line of its log: status, …, counts of connections and of retries, …, the request.
var served = regexp.MustCompile(` (\S+)/(\S+) [-0-9/]+ (\d+) .* \d+/\d+/\d+/\d+/(\+?\d+) \d+/\d+ "([A-Z]+) (\S+) `)

// request is one line of its log.
type request struct {
	backend string
	server  string
	status  string
	retried bool
	method  string
	target  string
}

// requests are those it has logged so far.
func (e *edge) requests() (all []request) {
	for line := range strings.Lines(e.log.String()) {
		if m := served.FindStringSubmatch(line); m != nil {
			all = append(all, request{m[1], m[2], m[3], m[4] != "0", m[5], m[6]})
		}
	}
	return all
}

// logged waits until it has logged a request whose target ends like this.
func (e *edge) logged(end string) (r request) {
	e.t.Helper()
	await(e.t, "the balancer to log", 5*time.Second, func() bool {
		all := e.requests()
		i := slices.IndexFunc(all, func(r request) bool { return strings.HasSuffix(r.target, end) })
		if i >= 0 {
			r = all[i]
		}
		return i >= 0
	})
	return r
}

// post opens a session with an offer that nobody stands behind and ends it again, both through the balancer. It returns whose session it
// was, "" when nobody took it.
func (e *edge) post() (instance string) {
	<-e.pace.C
	r, err := try(e.t, "POST", e.url+"/pub/tea/nobody", goodOffer, sdpHeader)
	if err != nil || r.status != http.StatusCreated {
		return ""
	}
	if r, err := try(e.t, "DELETE", e.url+r.header.Get("Location"), "", nil); err != nil || r.status != http.StatusOK {
		e.t.Errorf("DELETE through the balancer: %+v, %v", r, err)
	}
	instance, _ = session.OwnerOf(r.header.Get("Location")[strings.LastIndexByte(r.header.Get("Location"), '/')+1:])
	return instance
}

// try is do for requests that may fail.
func try(t *testing.T, method, url, body string, header map[string]string) (reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := insecure().Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	return reply{status: resp.StatusCode, header: resp.Header}, nil
}

// serves waits until the balancer sends requests to exactly these processes, and returns how long that took since began.
func (e *edge) serves(began time.Time, instances ...string) time.Duration {
	e.t.Cleanup(func() {
		if e.t.Failed() {
			e.t.Logf("%s", e.log.String())
		}
	})
	e.t.Helper()
	await(e.t, "the balancer to use "+strconv.Itoa(len(instances))+" nodes, no others", 30*time.Second, func() bool {
		turns := map[string]int{}
		for range 2 * max(len(instances), 1) {
			turns[e.post()]++
		}
		for _, i := range instances {
			if turns[i] == 0 {
				return false
			}
		}
		return len(turns) == len(instances)
	})
	return time.Since(began).Round(10 * time.Millisecond)
}

// announced starts the i-th node of a cluster as a process that is announced in Consul, and names it.
func (c *cluster) announced(t *testing.T, consul *testkit.ConsulServer, i int, flags ...string) (n *nodeProcess, instance string) {
	t.Helper()
	n = c.run(t, i, append([]string{"--consul=" + consul.URL, "--advertise-host=127.0.0.1", "--trusted-proxies=127.0.0.1"}, flags...)...)
	r := do(t, "POST", "http://"+n.public+"/pub/tea/nobody", goodOffer, sdpHeader)
	if r.status != http.StatusCreated {
		t.Fatalf("node-%d: %+v", i, r)
	}
	instance = instanceOf(t, r.header.Get("Location"))
	do(t, "DELETE", "http://"+n.public+r.header.Get("Location"), "", nil)
	return n, instance
}
