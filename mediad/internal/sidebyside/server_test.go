package sidebyside

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weever/shared/testkit"
	"weever/shared/testkit/proc"
)

// backends are what the nodes of a benchmark use.
type backends struct {
	mediad      string // the program
	redis, nats string // URLs
	natsPID     int
	pinned      bool          // servers and load have a core each
	nodes       int           // started so far
	length      time.Duration // of a measurement
	settle      time.Duration // how long media flow before anything is read: joins, their key frames and what they allocate are over then
}

// The cores of servers, and of the load and NATS.
const (
	serverCore = 0
	loadCore   = 1
)

// newBackends builds mediad and starts Redis and NATS.
func newBackends(tb testing.TB, pinned bool) *backends {
	tb.Helper()
	dir := tb.TempDir()
	s := &backends{mediad: build(tb, dir, "weever/mediad"), redis: testkit.Redis(tb), pinned: pinned, length: time.Duration(*seconds) * time.Second, settle: time.Second}
	if pinned {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil || !set.IsSet(serverCore) || !set.IsSet(loadCore) {
			tb.Fatalf("servers and load need the cores %d and %d: %v", serverCore, loadCore, err)
		}
	}
	port := proc.FreePort(tb, "127.0.0.1")
	nats := proc.New(tb, "nats-server")
	tb.Cleanup(nats.Stop)
	cmd := s.command(loadCore, build(tb, dir, "github.com/nats-io/nats-server/v2"), "-a", "127.0.0.1", "-p", port)
	if err := nats.Run(cmd, "Server is ready", proc.StartLimit); err != nil {
		tb.Fatal(err)
	}
	s.nats, s.natsPID = "nats://127.0.0.1:"+port, cmd.Process.Pid
	return s
}

// build makes a program of a package, without the race detector.
func build(tb testing.TB, dir, pkg string) (file string) {
	tb.Helper()
	file = filepath.Join(dir, strings.NewReplacer("/", "-", ".", "-").Replace(pkg))
	if out, err := exec.Command("go", "build", "-o", file, pkg).CombinedOutput(); err != nil { //nolint:gosec // the test's own words
		tb.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return file
}

// command prepares a process, on a core of its own if that is wanted.
func (s *backends) command(core int, name string, args ...string) *exec.Cmd {
	if s.pinned {
		args = append([]string{"-c", strconv.Itoa(core), name}, args...)
		name = "taskset"
	}
	cmd := exec.Command(name, args...) //nolint:gosec // the test's own words
	cmd.SysProcAttr = proc.DieWithParent()
	cmd.Env = os.Environ()
	if s.pinned {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	return cmd
}

// server is a process under test.
type server struct {
	tb      testing.TB
	process *proc.Process
	pid     int
	node    bool
	url     string // of the API
	private string // of /debug/pprof and, at a node, /metrics
}

// startPlain starts the plain server.
func (s *backends) startPlain(tb testing.TB) *server {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	addr := "127.0.0.1:" + proc.FreePort(tb, "127.0.0.1")
	cmd := s.command(serverCore, self)
	cmd.Env = append(cmd.Env, roleEnv+"=plain "+addr+" 127.0.0.1:0")
	return start(tb, "plain", cmd, &server{url: "http://" + addr, private: "http://" + addr})
}

// namespace is one that no node has had.
func (s *backends) namespace() string { return fmt.Sprintf("after-%d-nodes", s.nodes) }

// startNode starts mediad as the only node, or one of those, of a namespace.
func (s *backends) startNode(tb testing.TB, namespace string) *server {
	tb.Helper()
	s.nodes++
	private, public := proc.FreePort(tb, "127.0.0.1"), proc.FreePort(tb, "127.0.0.1")
	cmd := s.command(
		serverCore, s.mediad, "--plain-http", "--host=127.0.0.1", "--port="+public, "--private-port="+private, "--udp-port=0", "--interfaces=lo",
		"--no-auth", "--rate-limit=off", "--log-level=warn", "--redis="+s.redis, "--nats="+s.nats, "--namespace="+namespace, fmt.Sprintf("--node-id=node-%d", s.nodes),
	)
	return start(tb, "mediad", cmd, &server{node: true, url: "http://127.0.0.1:" + public, private: "http://127.0.0.1:" + private})
}

// start runs a server and waits until it is ready.
func start(tb testing.TB, name string, cmd *exec.Cmd, s *server) *server {
	tb.Helper()
	s.tb, s.process = tb, proc.New(tb, name)
	tb.Cleanup(s.process.Stop)
	if err := s.process.Run(cmd, "", proc.StartLimit); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	s.pid = cmd.Process.Pid
	late := time.After(proc.StartLimit)
	for {
		if resp, err := http.Get(s.private + "/readiness"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.process.Exited():
			tb.Fatalf("%s has ended: %s", name, s.process.Said())
		case <-late:
			tb.Fatalf("%s is not ready: %s", name, s.process.Said())
		}
	}
}

// get asks the private API.
func (s *server) get(path string) string {
	s.tb.Helper()
	resp, err := http.Get(s.private + path)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.tb.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
	}
	return string(b)
}

// cpu is what a process has used: the sum to the nanosecond, and in the kernel's ticks how it is divided.
type cpu struct {
	sum          time.Duration
	user, system float64
}

func (c cpu) since(before cpu) cpu {
	return cpu{c.sum - before.sum, c.user - before.user, c.system - before.system}
}

// share is the part of the sum that ticks stand for.
func (c cpu) share(ticks float64) time.Duration {
	return time.Duration(float64(c.sum) * ticks / max(c.user+c.system, 1))
}

// cpuOf asks the clock of a process (clock_getcpuclockid(3)) and reads proc_pid_stat(5).
func cpuOf(tb testing.TB, pid int) cpu {
	tb.Helper()
	const wholeProcess = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|wholeProcess), &ts); err != nil { //nolint:gosec // as the C library does
		tb.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return cpu{time.Duration(ts.Nano()), user, system}
}

// rss is the memory of the process that is in RAM, in bytes.
func (s *server) rss() float64 {
	s.tb.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	if err != nil {
		s.tb.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		s.tb.Fatal(err)
	}
	return float64(pages * os.Getpagesize())
}

var (
	heapInuse  = regexp.MustCompile(`(?m)^# HeapInuse = (\d+)$`)
	stackInuse = regexp.MustCompile(`(?m)^# Stack = (\d+) /`)
)

// memory is the heap in use and the stacks after garbage was collected, in bytes. Twice: pools give up what they hold in two steps.
func (s *server) memory() float64 {
	s.tb.Helper()
	s.get("/debug/pprof/heap?gc=1&debug=1")
	text := s.get("/debug/pprof/heap?gc=1&debug=1")
	sum := 0.0
	for _, part := range []*regexp.Regexp{heapInuse, stackInuse} {
		found := part.FindStringSubmatch(text)
		if found == nil {
			s.tb.Fatalf("the heap profile lacks %v", part)
		}
		n, _ := strconv.ParseFloat(found[1], 64)
		sum += n
	}
	return sum
}

// metrics reads a node's counters by name and labels as they are written: weever_udp_packets_total{direction="out"}.
func (s *server) metrics() map[string]float64 {
	s.tb.Helper()
	all := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(s.get("/metrics")))
	for lines.Scan() {
		if at := strings.LastIndexByte(lines.Text(), ' '); at > 0 && lines.Text()[0] != '#' {
			all[lines.Text()[:at]], _ = strconv.ParseFloat(lines.Text()[at+1:], 64)
		}
	}
	return all
}
