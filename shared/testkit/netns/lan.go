package netns

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"weever/shared/testkit/proc"
)

// LAN is this process and Stations around one switch: all reach each other, until a test tells the switch to lose packets. Its methods
// and those of its parts are called by the test's goroutine only.
type LAN struct {
	Host netip.Addr // of this process

	net    *Network
	wires  *Machine // has the switch, and nothing else
	last   netip.Addr
	ports  int
	faults []*Fault // in effect

	stations []*Station
}

// NewLAN makes a LAN without stations.
func NewLAN(t testing.TB) *LAN {
	t.Helper()
	n := newNetwork(t)
	l := &LAN{net: n, Host: freeNet(t).Next()}
	l.last = l.Host
	l.wires = n.Machine()
	l.wires.ip("link add switch type bridge", "link set switch addrgenmode none up")
	inside := l.port()
	n.ip(
		"link add "+n.Interface+" type veth peer name "+inside+" netns "+l.wires.Name,
		"addr add "+l.Host.String()+"/24 dev "+n.Interface,
		"link set "+n.Interface+" addrgenmode none up",
	)
	l.connect(inside)
	return l
}

// port names the next socket of the switch.
func (l *LAN) port() string { l.ports++; return "port" + strconv.Itoa(l.ports) }

// connect puts a port into use and waits until the kernel has done so.
func (l *LAN) connect(port string) {
	l.net.t.Helper()
	l.attach(port)
	l.wires.awaitUp(port)
}

// attach puts a port into use. One that is a file, not a cable, needs no more.
func (l *LAN) attach(port string) {
	l.net.t.Helper()
	l.wires.ip("link set "+port+" master switch", "link set "+port+" addrgenmode none up")
}

// Station is a machine on a LAN: programs run in it see its network alone.
type Station struct {
	Addr netip.Addr

	m *Machine
}

// Station adds a station and returns when packets flow to and from it.
func (l *LAN) Station() *Station {
	l.net.t.Helper()
	s := l.newStation()
	port := l.port()
	l.wires.ip("link add " + port + " type veth peer name eth0 netns " + s.m.Name)
	s.setUp()
	l.connect(port)
	s.m.awaitUp("eth0")
	return s
}

// newStation makes one without an interface.
func (l *LAN) newStation() *Station {
	l.net.t.Helper()
	if l.last = l.last.Next(); l.last.As4()[3] == 255 {
		l.net.t.Fatal("a LAN has at most 253 stations")
	}
	s := &Station{Addr: l.last, m: l.net.Machine()}
	l.stations = append(l.stations, s)
	return s
}

// setUp gives its eth0 an address.
func (s *Station) setUp() {
	s.m.net.t.Helper()
	s.m.ip("addr add "+s.Addr.String()+"/24 dev eth0", "link set eth0 addrgenmode none up")
}

// Command prepares a program to run on the station. It dies with the test binary; the test starts it and waits for it.
func (s *Station) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return s.m.Command(ctx, name, args...)
}

// awaitUp waits until the kernel has taken an end of a link into use, up to a second after it was set up.
func (m *Machine) awaitUp(device string) {
	t := m.net.t
	t.Helper()
	limit := time.After(proc.StartLimit)
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for {
		state, err := exec.Command("ip", "-netns", m.Name, "-oneline", "link", "show", "dev", device).CombinedOutput() //nolint:gosec // our names
		if err != nil {
			t.Fatalf("ip link show: %v: %s", err, state)
		}
		if strings.Contains(string(state), " state UP ") {
			return
		}
		select {
		case <-ask.C:
		case <-limit:
			t.Fatalf("%s of %s does not come up within %v: %s", device, m.Name, proc.StartLimit, state)
		}
	}
}

// Flow is the packets between two addresses of the LAN, both ways.
type Flow struct {
	A, B netip.Addr
	Port uint16 // TCP port of B; 0: all packets
}

// Fault is what befalls some flows until Heal.
type Fault struct {
	lan   *LAN
	loss  int // percent
	flows []Flow
}

// Cut lets no packet of the flows through, as if a cable had been cut: nobody is told.
func (l *LAN) Cut(flows ...Flow) *Fault {
	l.net.t.Helper()
	return l.Lose(100, flows...)
}

// Lose makes so many percent of the packets of the flows vanish.
//
// The rules are nft's, not a netem queue: many kernels come without that.
func (l *LAN) Lose(percent int, flows ...Flow) *Fault {
	l.net.t.Helper()
	f := &Fault{lan: l, loss: percent, flows: flows}
	l.faults = append(l.faults, f)
	l.apply()
	return f
}

// Heal ends the fault. Twice does no harm.
func (f *Fault) Heal() {
	f.lan.net.t.Helper()
	var others []*Fault
	for _, other := range f.lan.faults {
		if other != f {
			others = append(others, other)
		}
	}
	f.lan.faults = others
	f.lan.apply()
}

// apply tells the switch what is in effect, in one step.
func (l *LAN) apply() {
	l.net.t.Helper()
	var rules strings.Builder
	rules.WriteString("add table bridge weever\ndelete table bridge weever\ntable bridge weever {\n" +
		"chain wires { type filter hook forward priority 0; policy accept;\n")
	for _, f := range l.faults {
		chance := ""
		if f.loss < 100 {
			chance = fmt.Sprintf("numgen random mod 100 < %d ", f.loss)
		}
		for _, flow := range f.flows {
			there, back := "", ""
			if flow.Port != 0 {
				there, back = fmt.Sprintf("tcp dport %d ", flow.Port), fmt.Sprintf("tcp sport %d ", flow.Port)
			}
			for _, way := range [2]string{
				fmt.Sprintf("ip saddr %s ip daddr %s %s", flow.A, flow.B, there), fmt.Sprintf("ip saddr %s ip daddr %s %s", flow.B, flow.A, back),
			} {
				rules.WriteString(way + chance + "drop\n")
			}
		}
	}
	rules.WriteString("}\n}\n")
	if out, err := l.wires.pipe(rules.String(), "nft", "-f", "-"); err != nil {
		l.net.t.Fatalf("nft: %v: %s. It is needed to stand for a bad network: apt-get install nftables", err, out)
	}
}
