package sidebyside

import (
	"testing"
	"time"

	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/load"
)

// Both servers deliver, and everything is counted: so the benchmarks stay alive. What the numbers are does not matter here.
func TestBothServersDeliver(t *testing.T) {
	s := newBackends(t, false)
	s.length, s.settle = time.Second, 300*time.Millisecond
	meeting := scenario{Config: load.Config{Pubs: 2, Meeting: true, FPS: 15, Packets: 2, Traffic: synth.Browser}, people: 2, all: true}
	for name, measure := range map[string]func(testing.TB, scenario) cost{"plain": s.measurePlain, "node": s.measureNode} {
		check(t, name, measure(t, scenario{Config: load.Config{Pubs: 1, Subs: 2, Traffic: synth.Browser}, people: 2}))
		check(t, name+", a meeting", measure(t, meeting))
	}
	o := s.measureTwo(t, scenario{Config: load.Config{Pubs: 1, Subs: 1}})
	if sent := o.servers[0].counted[relayedPackets]; sent < 100 || o.servers[0].counted[relayedMessages] == 0 || o.Video.Packets == 0 || o.nats.sum <= 0 {
		t.Errorf("%v packets were relayed, %d came: %+v", sent, o.Video.Packets, o.servers)
	}
}

func check(t *testing.T, name string, c cost) {
	t.Helper()
	if c.perPacket <= 0 || c.cores <= 0 || c.memory <= 0 || c.p50 <= 0 || c.p99 < c.p50 || c.loadCores <= 0 || c.joined != 1 || c.lost > 0.01 {
		t.Errorf("%s: %+v", name, c)
	}
}

func TestMedians(t *testing.T) {
	t.Parallel()
	costs := []cost{{perPacket: 3, lost: 1}, {perPacket: 1}, {perPacket: 10, lost: 1}}
	if m := medians(costs); m.perPacket != 3 || m.lost != 1 || m.p50 != 0 {
		t.Errorf("%+v", m)
	}
	if r := ratios(costs, []cost{{perPacket: 6}, {perPacket: 1}, {perPacket: 100}}); r.perPacket != 0.5 || r.lost != 0 {
		t.Errorf("%+v", r)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("the median of an even number is %v", m)
	}
}
