package chaos

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weever/shared/testkit/netns"
	"weever/shared/testkit/proc"
)

const (
	namespace  = "chaos"
	adminToken = "chaos"
	mediaPort  = 8443 // HTTP and UDP
)

// node is a media node on a machine of its own, one process after the other.
type node struct {
	*proc.Process
	stage   *stage
	id      string
	station *netns.Station

	program string   // empty: the stage's
	env     []string // more of it
	flags   []string // more of them
	log     string   // file that takes its log; empty: it is remembered

	instance string // the process that runs; empty: none
	epoch    int64  // of the newest
	baseline int    // goroutines of that without sessions
}

func newNode(s *stage, i int) *node {
	id := "node-" + strconv.Itoa(i)
	n := &node{Process: proc.New(s, id), stage: s, id: id, station: s.lan.Station()}
	s.Cleanup(n.Stop)
	return n
}

// url is where clients reach this very node.
func (n *node) url() string { return fmt.Sprintf("http://%s:%d", n.station.Addr, mediaPort) }

// private asks the private API.
func (n *node) private(method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(n.stage.Context(), method, fmt.Sprintf("http://%s:9443%s", n.station.Addr, path), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	c := plainHTTP()
	c.Timeout = 70 * time.Second // a drain takes as long as it may
	return c.Do(req)
}

// launch starts a process and does not wait. Beside the i-th node is the i-th NATS server, of which it hears of the others.
func (n *node) launch() {
	n.stage.Helper()
	s, addr := n.stage, n.station.Addr.String()
	i, _ := strconv.Atoi(strings.TrimPrefix(n.id, "node-"))
	cmd := n.station.Command(s.Context(), cmp.Or(n.program, s.mediad), append([]string{
		"--plain-http", "--host=" + addr, "--port=" + strconv.Itoa(mediaPort), "--private-host=" + addr, "--private-port=9443", "--admin-token=" + adminToken,
		"--udp-port=" + strconv.Itoa(mediaPort), "--interfaces=eth0", "--no-auth", "--namespace=" + namespace, "--node-id=" + n.id, "--advertise-host=" + addr,
		"--redis=" + s.redis.URL, "--nats=" + s.nats[i].url(), "--consul=" + s.consul.URL, "--trusted-proxies=" + s.lan.Host.String(),
		"--rate-limit=off", "--max-sessions=0", "--drain-timeout=1m",
	}, n.flags...)...)
	cmd.Env = append(os.Environ(), n.env...)
	if n.log != "" {
		log, err := os.OpenFile(n.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			s.Fatal(err)
		}
		defer func() { _ = log.Close() }() // the process has its own
		cmd.Stdout, cmd.Stderr = log, log
	}
	if err := n.Run(cmd, "", proc.StartLimit); err != nil {
		s.Fatalf("%s: %v", n.id, err)
	}
}

// ready waits until the node takes sessions, and finds out which process it is.
func (n *node) ready() {
	n.stage.Helper()
	await(n.stage, "readiness of "+n.id, proc.StartLimit, func() error {
		resp, err := n.private(http.MethodGet, "/readiness")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return n.identify()
	})
	if n.baseline == 0 {
		n.baseline = n.goroutines()
	}
}

// identify finds the instance by its lease: that of the newest process of this name.
func (n *node) identify() error {
	ctx, cancel := context.WithTimeout(n.stage.Context(), askLimit)
	defer cancel()
	leases, err := n.stage.leases.List(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, l := range leases {
		if l.Node == n.id && !l.Dead && (l.Epoch > n.epoch || l.Instance == n.instance) {
			n.instance, n.epoch, found = l.Instance, l.Epoch, true
		}
	}
	if !found {
		return errors.New("it has no lease")
	}
	return nil
}

// kill ends the process as a crash would.
func (n *node) kill() {
	n.Stop()
	n.gone()
}

// terminate sends SIGTERM and waits until the process has ended by itself; it says how long that took.
func (n *node) terminate() time.Duration {
	n.stage.Helper()
	began := time.Now()
	n.Signal(syscall.SIGTERM)
	select {
	case <-n.Exited():
	case <-time.After(70 * time.Second):
		n.stage.Fatalf("%s does not end after SIGTERM", n.id)
	}
	if code := n.ExitCode(); code != 0 {
		n.stage.Errorf("%s ended with %d: %s", n.id, code, n.Said())
	}
	n.Stop()
	n.gone()
	return time.Since(began)
}

func (n *node) gone() {
	n.stage.dead = append(n.stage.dead, n.instance)
	n.instance, n.baseline = "", 0
}

// restart runs a process again where one has ended.
func (n *node) restart() {
	n.stage.Helper()
	n.launch()
	n.ready()
}

// anew lets another program, or the same in other circumstances, take the place of the process in an orderly way.
func (n *node) anew(change func()) {
	n.stage.Helper()
	n.terminate()
	n.program, n.env, n.flags, n.log = "", nil, nil, ""
	change()
	n.restart()
	n.stage.whole()
}

// goroutines is how many the process has.
func (n *node) goroutines() int {
	n.stage.Helper()
	resp, err := n.private(http.MethodGet, "/metrics")
	if err != nil {
		n.stage.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			count, err := strconv.ParseFloat(text, 64)
			if err != nil {
				n.stage.Fatal(err)
			}
			return int(count)
		}
	}
	n.stage.Fatalf("%s does not say how many goroutines it has", n.id)
	return 0
}
