package systemd

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/shared/eventually"
	"weever/shared/testkit"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

const traceFile = "/mnt/trace"

// frequent are the system calls of every moment. They are not traced, which would slow the node down a hundredfold.
var frequent = []string{
	"futex", "epoll_pwait", "nanosleep", "clock_nanosleep", "sched_yield", "read", "write", "recvmmsg", "sendmmsg", "madvise", "getpid", "tgkill", "rt_sigreturn",
}

// installed is a root with the package in it and lines added to its settings.
func installed(t *testing.T, lines ...string) *root {
	t.Helper()
	r := newRoot(t)
	if _, err := r.do(t, "dpkg", "--install", r.bring(t, newDeb(t))); err != nil {
		t.Fatal(err)
	}
	if err := appendTo(filepath.Join(r.dir, settings), strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
	return r
}

// start prepares what systemd would start, as it would: the unit's command, the settings and nothing else as its environment, no user of
// the machine, the unit's capabilities. With before it is run by another program.
func (r *root) start(t *testing.T, before ...string) *exec.Cmd {
	t.Helper()
	u := readUnit(t, filepath.Join(r.dir, "usr/lib/systemd/system/mediad.service"))
	caps := "-all"
	for _, c := range strings.Fields(u.one(t, "CapabilityBoundingSet")) {
		caps += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	if u.one(t, "AmbientCapabilities") != u.one(t, "CapabilityBoundingSet") || u.one(t, "DynamicUser") != "yes" || u.one(t, "NoNewPrivileges") != "yes" {
		t.Fatalf("%s: not what this test does by hand", unitFile)
	}
	args := []string{
		"--reuid=61999", "--regid=61999", "--clear-groups", "--no-new-privs", "--inh-caps=" + caps, "--ambient-caps=" + caps, "--bounding-set=" + caps,
	}
	args = append(append(args, before...), strings.Fields(u.one(t, "ExecStart"))...)
	cmd := r.command(t, "setpriv", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin"}
	file := strings.TrimPrefix(u.one(t, "EnvironmentFile"), "-")
	for line := range strings.Lines(r.read(file)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			cmd.Env = append(cmd.Env, line)
		}
	}
	return cmd
}

// TestInstalledNode: what the package installs serves on real services, is announced, takes sessions, and drains at SIGTERM. All the
// while it is traced, so that what the unit would forbid is found.
func TestInstalledNode(t *testing.T) {
	redis, nats, consul := testkit.Redis(t), testkit.NATS(t), testkit.StartConsul(t)
	public, private := proc.FreePort(t, "127.0.0.1"), proc.FreePort(t, "127.0.0.1")
	r := installed(t, "WEEVER_PLAIN_HTTP=on", "WEEVER_NO_AUTH=on", "WEEVER_HOST=127.0.0.1", "WEEVER_PORT="+public, "WEEVER_PRIVATE_PORT="+private,
		"WEEVER_UDP_PORT=0", "WEEVER_INTERFACES=lo", "WEEVER_REDIS="+redis, "WEEVER_NATS="+nats, "WEEVER_CONSUL="+consul.URL, "WEEVER_NODE_ID=vm")
	r.write(t, traceFile, "", 0o666)
	node := proc.New(t, "mediad")
	t.Cleanup(node.Stop)
	if err := node.Run(r.start(t, "strace", "-D", "-f", "-q", "--seccomp-bpf", "-e", "trace=!"+strings.Join(frequent, ","), "-o", traceFile), "msg=serving", time.Minute); err != nil {
		t.Fatal(err)
	}
	await := func(status int, state string) {
		t.Helper()
		eventually.True(t, 20*time.Second, "the node to be "+state, func() bool {
			resp, err := http.Get("http://127.0.0.1:" + private + "/readiness")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			return resp.StatusCode == status && strings.Contains(string(body), `"status":"`+state+`"`)
		})
	}
	await(http.StatusOK, "ok")
	var checks []struct{ Status string }
	inConsul := func(want string) {
		t.Helper()
		eventually.True(t, 20*time.Second, "Consul to say "+want, func() bool {
			resp, err := http.Get(consul.URL + "/v1/health/checks/weever-mediad")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			return json.NewDecoder(resp.Body).Decode(&checks) == nil && len(checks) == 1 && checks[0].Status == want
		})
	}
	inConsul("passing")

	load := proc.New(t, "mediad load")
	t.Cleanup(load.Stop)
	if err := load.Run(exec.Command(filepath.Join(r.dir, "usr/bin/mediad"), "load", "--url=http://127.0.0.1:"+public, "--pubs=1", "--subs=1", "--duration=1h"), "", 0); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, time.Minute, "media to be sent on", func() bool { return sends(private) })
	node.Signal(syscall.SIGTERM)
	await(http.StatusServiceUnavailable, "draining")
	select {
	case <-node.Exited():
		t.Fatal("it ended while somebody was there")
	default:
	}
	load.Signal(syscall.SIGTERM) // who is there leaves
	<-node.Exited()
	if code := node.ExitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, node.Said())
	}

	eventually.True(t, 20*time.Second, "the end of the trace", func() bool { return strings.Contains(r.read(traceFile), "+++ exited with 0 +++") })
	u, trace := readUnit(t, unitFile), r.read(traceFile)
	for _, c := range frequent {
		if !allowed(t, u)[c] {
			t.Errorf("the unit forbids %s", c)
		}
	}
	if faults := outside(t, u, trace); len(faults) > 0 {
		t.Errorf("the unit forbids what the node does: %q", faults)
	}
	for _, asked := range regexp.MustCompile(`SO_(RCV|SND)BUF, \[(\d+)\]`).FindAllStringSubmatch(trace, -1) {
		want := "net.core." + map[string]string{"RCV": "r", "SND": "w"}[asked[1]] + "mem_max = " + asked[2] + "\n"
		if text := r.read("/usr/lib/sysctl.d/10-mediad.conf"); !strings.Contains(text, want) {
			t.Errorf("the package does not let the node have what it asks for, %q", want)
		}
	}
	if !strings.Contains(trace, "SO_RCVBUF, [") {
		t.Error("the trace has no buffers")
	}
	for _, c := range []struct{ name, old, next, fault string }{
		{"a set too many", "~@privileged", "~@privileged @network-io", "bind"},
		{"a family too few", " AF_NETLINK", "", "socket AF_NETLINK"},
	} {
		if faults := outside(t, readUnit(t, changed(t, c.old, c.next)), trace); !slices.Contains(faults, c.fault) {
			t.Errorf("%s: found %q", c.name, faults)
		}
	}
	tool.Checked(t, "strace", strings.Fields(tool.Call{}.Run(t, "strace", "-V"))[3], "the unit allows every system call of the installed node, from start to drain")
}

// sends reports whether a node has sent video to a viewer.
func sends(port string) bool {
	resp, err := http.Get("http://127.0.0.1:" + port + "/metrics")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return regexp.MustCompile(`(?m)^weever_rtp_sent_packets_total\{kind="video"\} [1-9]`).Match(body)
}

// TestHalfConfigured: a node that cannot work does not start, says what is wrong and what to do, and systemd does not try again.
func TestHalfConfigured(t *testing.T) {
	r := installed(t)
	packed := r.read(settings)
	r.write(t, "/mnt/cert.pem", "no certificate", 0o644)
	r.write(t, "/mnt/key.pem", "secret", 0o600) // root's
	for _, c := range []struct {
		name  string
		lines []string
		said  []string
	}{
		{"as it is installed", nil, []string{"a certificate is missing", "--cert-file", "--plain-http"}},
		{"a certificate without its key", []string{"WEEVER_CERT_FILE=/mnt/cert.pem"}, []string{"--cert-file and --key-file must be given together"}},
		{"a key that is root's", []string{"WEEVER_CERT_FILE=/mnt/cert.pem", "WEEVER_KEY_FILE=/mnt/key.pem"}, []string{"/mnt/key.pem: permission denied"}},
		{"a bad URL", []string{"WEEVER_PLAIN_HTTP=on", "WEEVER_REDIS=http://redis"}, []string{"--redis"}},
		{"a bad port", []string{"WEEVER_PLAIN_HTTP=on", "WEEVER_UDP_PORT=84430"}, []string{"--udp-port", "84430"}},
		{"an open private API", []string{"WEEVER_PLAIN_HTTP=on", "WEEVER_PRIVATE_HOST=0.0.0.0"}, []string{"--private-host", "--admin-token"}},
		{"several at once", []string{"WEEVER_NATS=http://nats", "WEEVER_PUBLIC_IP=localhost"}, []string{"a certificate is missing", "--nats", "--public-ip"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.write(t, settings, packed+strings.Join(c.lines, "\n")+"\n", 0o640)
			out, err := r.start(t).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Errorf("%v: %s", err, out)
			}
			for _, want := range c.said {
				if !strings.Contains(string(out), want) {
					t.Errorf("does not say %q: %s", want, out)
				}
			}
		})
	}
}

// TestWithoutServices: a node whose Redis and NATS are not there starts, is not ready, and says what it waits for.
func TestWithoutServices(t *testing.T) {
	private := proc.FreePort(t, "127.0.0.1")
	nowhere := "127.0.0.1:" + proc.FreePort(t, "127.0.0.1")
	r := installed(t, "WEEVER_PLAIN_HTTP=on", "WEEVER_HOST=127.0.0.1", "WEEVER_PORT=0", "WEEVER_PRIVATE_PORT="+private, "WEEVER_UDP_PORT=0",
		"WEEVER_INTERFACES=lo", "WEEVER_REDIS=redis://"+nowhere, "WEEVER_NATS="+nowhere)
	node := proc.New(t, "mediad")
	t.Cleanup(node.Stop)
	if err := node.Run(r.start(t), "", 0); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, 20*time.Second, "a node that waits", func() bool {
		resp, err := http.Get("http://127.0.0.1:" + private + "/readiness")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), `"status":"starting"`) && strings.Contains(string(body), "redis")
	})

	node.Signal(syscall.SIGTERM)
	<-node.Exited()
	if code := node.ExitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, node.Said())
	}
}
