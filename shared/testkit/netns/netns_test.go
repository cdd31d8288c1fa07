package netns

import (
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"weever/shared/testkit/proc"
)

// echo answers datagrams at the network's server address and tells where they came from.
func echo(t *testing.T, n *Network) (port string, from <-chan netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.Server, 0)))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan netip.AddrPort, 16)
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			size, addr, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			seen <- addr
			_, _ = conn.WriteToUDPAddrPort(buf[:size], addr)
		}
	}()
	_, port, _ = net.SplitHostPort(conn.LocalAddr().String())
	return port, seen
}

// talker is a program on a machine that sends each line it is given, one character, from one and the same socket, and says what came
// back.
const talker = `
exec 3<>/dev/udp/$0/$1
while read -r line; do
	printf %s "$line" >&3
	if read -r -t 0.5 -n 1 -u 3 reply; then echo "$reply"; else echo lost; fi
done`

func TestNetwork(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Fatal("bash is missing: apt-get install bash")
	}
	var made string
	t.Run("a machine that moves", func(t *testing.T) {
		n := New(t)
		made = n.tag
		port, from := echo(t, n)
		m := n.Machine()
		first := m.Plug()
		cmd := m.Command(t.Context(), "bash", "-c", talker, n.Server.String(), port)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out := proc.NewOutput()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited := make(chan struct{})
		go func() { _ = cmd.Wait(); close(exited) }()
		t.Cleanup(func() { _ = in.Close(); <-exited })
		say := func(word, reply string) {
			t.Helper()
			if _, err := in.Write([]byte(word + "\n")); err != nil {
				t.Fatal(err)
			}
			if err := out.Await(reply+"\n", exited, 5*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		say("1", "1")
		a := <-from
		if a.Addr() != first.Addr {
			t.Errorf("came from %v, the link has %v", a, first.Addr)
		}
		m.Rebind()
		say("2", "2")
		b := <-from
		if b.Addr() != a.Addr() || b.Port() == a.Port() {
			t.Errorf("came from %v, after Rebind from %v", a, b)
		}
		m.Rebind()
		say("3", "3")
		if c := <-from; c.Addr() != a.Addr() || c.Port() == b.Port() || c.Port() == a.Port() {
			t.Errorf("came from %v and %v, after another Rebind from %v", a, b, c)
		}
		first.Unplug()
		say("4", "lost")
		second := m.Plug()
		if second.Addr == first.Addr {
			t.Error("the new link has the old address")
		}
		if out, err := m.Command(t.Context(), "bash", "-c", "echo >/dev/udp/$0/$1", n.Server.String(), port).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if d := <-from; d.Addr() != second.Addr {
			t.Errorf("came from %v, the link has %v", d, second.Addr)
		}
	})
	if left := append(interfaces(made), namespaces(netnsMark+strings.TrimPrefix(made, linkMark))...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a killed process left is removed by the next one.
func TestNetworkSweep(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	n := New(t)
	left := &Network{t: t, tag: linkMark + strconv.Itoa(dead.ProcessState.Pid()) + "-00"}
	left.Interface = left.tag + "s"
	m := left.Machine()
	n.ip("link add " + left.Interface + " type veth peer name eth9 netns " + m.Name)
	other := New(t)
	if names := append(interfaces(left.tag), namespaces(m.Name)...); len(names) > 0 {
		t.Errorf("still there: %v", names)
	}
	for _, live := range []*Network{n, other} {
		if len(interfaces(live.tag)) == 0 {
			t.Error("a living network was removed")
		}
	}
}
