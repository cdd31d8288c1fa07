// Package netns makes other machines on this one: network namespaces, and links to them that come, go and lose packets.
//
// It needs Linux, the programs ip and nft, and the right to make namespaces. Tests call it; what it made is removed when the test ends,
// and what a test binary left that was killed is removed by the next one that runs.
package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weever/shared/testkit/proc"
)

const (
	netnsDir   = "/run/netns" // where ip keeps the names of namespaces
	netnsMark  = "weever-"    // begins the name of a namespace; the process id follows
	linkMark   = "wv"         // the same of an interface, whose name has 15 characters at most
	maxLinks   = 62           // of a Network: each takes four addresses of its 256
	netnsNeeds = "network namespaces cannot be made here: %v. " +
		"Run the tests as root on Linux; in a container, with --privileged or the capabilities NET_ADMIN and SYS_ADMIN"
)

// testNets is RFC 2544's range for tests of networks: nobody has it at home.
func testNets() netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, 0}) }

// Network is a piece of the Internet on this machine: an address for the servers of this process, which stays, and Machines that reach
// it from addresses that change. Its methods and those of its parts are called by the test's goroutine only.
type Network struct {
	Server    netip.Addr // what servers listen on; machines can reach no other address of this process
	Interface string     // the interface that has it

	t     testing.TB
	tag   string // begins the names of all interfaces here
	links int    // made so far
	next  int    // machines made so far
}

// New makes a Network without machines.
func New(t testing.TB) *Network {
	t.Helper()
	n := newNetwork(t)
	n.Server = freeNet(t).Next()
	n.ip(
		"link add "+n.Interface+" type veth peer name "+n.tag+"t",
		"addr add "+n.Server.String()+"/32 dev "+n.Interface,
		"link set "+n.tag+"t up",
		"link set "+n.Interface+" up",
	)
	return n
}

// newNetwork makes one without addresses and sees to its end.
func newNetwork(t testing.TB) *Network {
	t.Helper()
	sweepNetworks()
	n := &Network{t: t, tag: freeTag()}
	n.Interface = n.tag + "s"
	t.Cleanup(func() { remove(n.tag, netnsMark+strings.TrimPrefix(n.tag, linkMark)) })
	return n
}

// freeTag chooses what the names of a new network's parts begin with. A process may have 256 networks at a time.
func freeTag() string {
	for {
		id := fmt.Sprintf("%d-%02x", os.Getpid(), rand.N(256))
		if len(interfaces(linkMark+id))+len(namespaces(netnsMark+id+"-")) == 0 {
			return linkMark + id
		}
	}
}

// freeNet chooses 256 addresses that no interface of this machine is in.
func freeNet(t testing.TB) netip.Addr {
	t.Helper()
	taken, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatalf("the addresses of this machine cannot be listed: %v", err)
	}
next:
	for range 100 {
		b := testNets().As4()
		pick := rand.N(512)
		b[1] += byte(pick >> 8)
		b[2] = byte(pick)
		block := netip.PrefixFrom(netip.AddrFrom4(b), 24)
		for _, a := range taken {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(block) {
				continue next
			}
		}
		return block.Addr()
	}
	t.Fatal("no free block of 256 addresses in 198.18.0.0/15: something else on this machine uses it")
	return netip.Addr{}
}

// Machine is a network namespace: programs run in it see its interfaces alone. A new one has nothing but its loopback.
type Machine struct {
	Name string // for `ip netns exec`

	net   *Network
	links int // plugged in so far
	binds int // Rebind calls so far
}

// Machine adds a machine.
func (n *Network) Machine() *Machine {
	n.t.Helper()
	m := &Machine{Name: fmt.Sprintf("%s%s-%d", netnsMark, strings.TrimPrefix(n.tag, linkMark), n.next), net: n}
	n.next++
	n.ip("netns add " + m.Name)
	m.ip("link set lo up")
	return m
}

// Link is a cable from a Machine to the Network.
type Link struct {
	Addr netip.Addr // the machine's on this link; no other link ever has it

	m      *Machine
	inside string // name of the interface in the machine
	host   string // of its other end; empty after Unplug
}

// Plug adds a link and returns when packets flow through it: address, default route, both ends up. Of several links at once the
// earliest carries what has no other reason to choose.
func (m *Machine) Plug() *Link {
	m.net.t.Helper()
	n := m.net
	if n.links++; n.links > maxLinks {
		n.t.Fatalf("a Network has at most %d links", maxLinks)
	}
	b := n.Server.As4()
	b[3] = byte(4*n.links + 1)
	gateway := netip.AddrFrom4(b)
	l := &Link{Addr: gateway.Next(), m: m, inside: "eth" + strconv.Itoa(m.links), host: n.tag + strconv.Itoa(n.links)}
	n.ip(
		"link add "+l.host+" type veth peer name "+l.inside+" netns "+m.Name,
		"addr add "+gateway.String()+"/30 dev "+l.host,
		"link set "+l.host+" addrgenmode none up",
	)
	m.ip(
		"addr add "+l.Addr.String()+"/30 dev "+l.inside,
		"link set "+l.inside+" addrgenmode none up",
		"route add default via "+gateway.String()+" metric "+strconv.Itoa(100+m.links),
	)
	m.links++
	l.awaitCarrier()
	return l
}

// awaitCarrier waits until the kernel has taken both ends into use, up to a second after they were set up: packets sent before that
// are lost, and who sent them may wait a second before it tries again.
func (l *Link) awaitCarrier() {
	t := l.m.net.t
	t.Helper()
	limit := time.After(proc.StartLimit)
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for {
		inside, err := exec.Command("ip", "-netns", l.m.Name, "-oneline", "link", "show", "dev", l.inside).CombinedOutput() //nolint:gosec // our names
		if err != nil {
			t.Fatalf("ip link show: %v: %s", err, inside)
		}
		host, err := net.InterfaceByName(l.host)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(inside), " state UP ") && host.Flags&net.FlagRunning != 0 {
			return
		}
		select {
		case <-ask.C:
		case <-limit:
			t.Fatalf("the link of %s does not come up within %v: %s", l.m.Name, proc.StartLimit, inside)
		}
	}
}

// Unplug takes the link down and removes it, with its address and routes. Twice does no harm.
func (l *Link) Unplug() {
	l.m.net.t.Helper()
	if l.host == "" {
		return
	}
	l.m.ip("link set " + l.inside + " down")
	l.m.net.ip("link del " + l.host)
	l.host = ""
}

// Rebind makes the machine's packets of UDP leave from other ports from now on and lets nothing in at those used before: what is seen
// from outside when the NAT in front of a client has forgotten it. The machine itself does not notice.
func (m *Machine) Rebind() {
	t := m.net.t
	t.Helper()
	m.binds++
	if m.binds > 6 {
		t.Fatal("a Machine can Rebind six times at most")
	}
	// Stateless on purpose: connection tracking would keep the old ports for the flows it knows. One bit of the port is turned over;
	// all stay above 32767.
	rules := fmt.Sprintf(`
add table ip weever
delete table ip weever
table ip weever {
	chain out { type filter hook postrouting priority 300; udp sport set udp sport ^ %[1]d; }
	chain in { type filter hook prerouting priority -300; udp dport set udp dport ^ %[1]d; }
	chain mute { type filter hook output priority 0; icmp type destination-unreachable drop; }
}
`, 1<<(15-m.binds))
	if out, err := m.pipe(rules, "nft", "-f", "-"); err != nil {
		t.Fatalf("nft: %v: %s. It is needed to stand for a NAT: apt-get install nftables", err, out)
	}
}

// Command prepares a program to run on the machine. It dies with the test binary; the test starts it and waits for it.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", m.Name, name}, args...)...) //nolint:gosec // the test's own words
	cmd.SysProcAttr = proc.DieWithParent()
	return cmd
}

// pipe runs a short program on the machine with text on its standard input.
func (m *Machine) pipe(text, name string, args ...string) (string, error) {
	cmd := m.Command(context.Background(), name, args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// ip runs commands of ip in the machine, up to the first that fails.
func (m *Machine) ip(commands ...string) {
	m.net.t.Helper()
	m.net.batch([]string{"-netns", m.Name}, commands)
}

// ip runs commands of ip on this side, up to the first that fails.
func (n *Network) ip(commands ...string) {
	n.t.Helper()
	n.batch(nil, commands)
}

func (n *Network) batch(options, commands []string) {
	n.t.Helper()
	cmd := exec.Command("ip", append(options, "-batch", "-")...) //nolint:gosec // the test's own words
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		n.t.Fatalf("ip is missing: %v. Get it with: apt-get install iproute2", err)
	case err != nil:
		n.t.Fatalf(netnsNeeds, fmt.Errorf("ip %q: %w: %s", commands, err, strings.TrimSpace(string(out))))
	}
}

// sweepNetworks removes what processes left that have ended without doing so.
func sweepNetworks() {
	for _, name := range append(namespaces(netnsMark), interfaces(linkMark)...) {
		rest := strings.TrimPrefix(strings.TrimPrefix(name, netnsMark), linkMark)
		id, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(id)
		if err == nil && pid > 0 && ended(pid) {
			remove(linkMark+id+"-", netnsMark+id+"-")
		}
	}
}

// ended reports whether a process has ended, though perhaps nobody has asked for its exit code yet.
func ended(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// remove deletes the interfaces and namespaces whose names begin so, and ends what still runs in these: programs that a program of a
// test started and did not wait for. What another process removes meanwhile is no failure.
func remove(link, netns string) {
	for _, name := range interfaces(link) {
		_ = exec.Command("ip", "link", "del", name).Run() //nolint:gosec // a name that ip gave
	}
	for _, name := range namespaces(netns) {
		pids, _ := exec.Command("ip", "netns", "pids", name).Output() //nolint:gosec // as above
		for field := range strings.FieldsSeq(string(pids)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		_ = exec.Command("ip", "netns", "del", name).Run() //nolint:gosec // as above
	}
}

func namespaces(mark string) (names []string) {
	all, err := fs.Glob(os.DirFS(netnsDir), mark+"*")
	if err != nil {
		return nil
	}
	for _, p := range all {
		names = append(names, path.Base(p))
	}
	return names
}

func interfaces(mark string) (names []string) {
	all, _ := net.Interfaces()
	for _, i := range all {
		if strings.HasPrefix(i.Name, mark) {
			names = append(names, i.Name)
		}
	}
	return names
}
