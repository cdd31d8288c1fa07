package main

import (
	"bufio"
	"net"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/sdpfrag"
	"weever/shared/testkit"
)

// nodeEnv makes the test binary be mediad: its value is the arguments, separated by spaces.
const nodeEnv = "WEEVER_TEST_NODE"

// nodeProcess is a node with a process of its own, which can be frozen and killed.
type nodeProcess struct {
	cmd             *exec.Cmd
	public, private string          // host:port
	over            <-chan struct{} // closed when it has ended
}

// run starts a process as the i-th node of a cluster, with more flags, and waits until it says that it serves.
func (c *cluster) run(t *testing.T, i int, flags ...string) *nodeProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nodeProcess{private: l.Addr().String()}
	_ = l.Close()
	_, private, _ := net.SplitHostPort(n.private)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(self)
	n.cmd.Env = append(os.Environ(), nodeEnv+"=--plain-http --host=127.0.0.1 --port=0 --private-port="+private+" --udp-port=0 --interfaces=lo --no-auth"+
		" --namespace=test --node-id=node-"+strconv.Itoa(i)+" --redis="+c.redis+" --nats="+c.nats[i%len(c.nats)]+" "+strings.Join(flags, " "))
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := n.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan string, 1)
	over := make(chan struct{})
	n.over = over
	go func() {
		defer close(over)
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			if found := regexp.MustCompile(`msg=serving .*url=http://(\S+)`).FindStringSubmatch(lines.Text()); found != nil {
				serving <- found[1]
			} else {
				t.Log(lines.Text())
			}
		}
		_ = n.cmd.Wait() // killed
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		<-over
	})
	select {
	case n.public = <-serving:
	case <-over:
		t.Fatalf("node-%d has ended", i)
	case <-time.After(20 * time.Second):
		t.Fatalf("node-%d does not say that it serves", i)
	}
	return n
}

func (n *nodeProcess) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// What befalls the owner of a session is told to a client wherever its request lands: frozen is "try again", dead is "it is gone".
func TestOwnerFreezesAndDies(t *testing.T) {
	c := newCluster(t, 3)
	nodes := map[string]*nodeProcess{}
	var behind []testkit.BalancedNode
	for i := range 3 {
		name := "node-" + strconv.Itoa(i)
		nodes[name] = c.run(t, i)
		behind = append(behind, testkit.BalancedNode{Name: name, Addr: nodes[name].public, Check: nodes[name].private})
	}
	b := testkit.HAProxy(t, "", behind...)
	var tr trail
	v := subscribeOffering(t, tr.config(b, "tea", "bob"), 0, 0)
	owner := tr.take()[0].node
	at, err := url.Parse(v.Location())
	if err != nil {
		t.Fatal(err)
	}
	request := func(method string) (reply, time.Duration) {
		t.Helper()
		began := time.Now()
		return do(t, method, b.URL+at.Path, oneCandidate, map[string]string{"Content-Type": sdpfrag.ContentType}), time.Since(began)
	}

	nodes[owner].signal(t, syscall.SIGSTOP)
	b.Await(owner, "DOWN")
	r, took := request("PATCH")
	problem(t, r, 503)
	if r.header.Get("Retry-After") == "" || took > 3*time.Second {
		t.Errorf("owner frozen, after %v: %+v", took, r)
	}
	nodes[owner].signal(t, syscall.SIGCONT)
	b.Await(owner, "UP")
	for range 3 {
		if r, _ := request("PATCH"); r.status != 204 {
			t.Errorf("owner thawed: %+v", r)
		}
	}
	if _, err := v.Ping(within(t, 5*time.Second), "still there"); err != nil {
		t.Errorf("the session after the thaw: %v", err)
	}

	nodes[owner].signal(t, syscall.SIGKILL)
	<-nodes[owner].over
	for _, method := range []string{"PATCH", "DELETE", "PATCH", "DELETE"} { // each node has its turn, the dead one too
		r, took := request(method)
		problem(t, r, 404)
		if took > 2*time.Second {
			t.Errorf("owner dead: %s was answered after %v", method, took)
		}
	}
}
