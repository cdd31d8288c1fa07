package netns

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"

	"weever/shared/testkit/netns/line"
)

const (
	tapQueue   = 4000 // packets that the kernel keeps for a Line that is not scheduled
	tapMissing = "%v. A bad line needs the TUN driver: modprobe tun; in a container, --device /dev/net/tun"
)

// FarStation adds a station at the end of a Line and returns when packets flow. The weather is fine; seed is that of chance.
func (l *LAN) FarStation(seed uint64) (*Station, *line.Line) {
	l.net.t.Helper()
	s, port := l.newStation(), l.port()
	far := line.New(l.net.end(l.wires, port), l.net.end(s.m, "eth0"), seed)
	l.net.t.Cleanup(far.Close)
	s.setUp()
	l.attach(port)
	return s, far
}

// tap makes an interface with a name on a machine. Closing the file removes it.
func (n *Network) tap(m *Machine, name string) *os.File {
	n.t.Helper()
	file, err := line.Open(n.tag + "x") // until it has been moved
	if err != nil {
		n.t.Fatalf(tapMissing, err)
	}
	n.t.Cleanup(func() { _ = file.Close() }) // perhaps again
	n.ip("link set " + n.tag + "x netns " + m.Name + " name " + name)
	return file
}

// end makes one end of a Line.
func (n *Network) end(m *Machine, name string) line.End {
	n.t.Helper()
	file := n.tap(m, name)
	m.ip("link set " + name + " txqueuelen " + strconv.Itoa(tapQueue))
	return line.End{File: file, Overflows: func() uint64 { return m.unsent(name) }}
}

// unsent counts the packets that the machine's kernel had for an interface and could not send.
func (m *Machine) unsent(name string) uint64 {
	t := m.net.t
	t.Helper()
	out, err := exec.Command("ip", "-netns", m.Name, "-json", "-stats", "link", "show", "dev", name).Output() //nolint:gosec // our names
	var links []struct {
		Stats struct {
			TX struct{ Dropped uint64 }
		} `json:"stats64"`
	}
	if err == nil {
		err = json.Unmarshal(out, &links)
	}
	if err == nil && len(links) != 1 {
		err = errors.New("not one interface")
	}
	if err != nil {
		t.Fatalf("ip -stats link show dev %s: %v", name, err)
	}
	return links[0].Stats.TX.Dropped
}
