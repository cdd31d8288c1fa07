package sidebyside

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/load"
)

// BenchmarkFanout lets one publisher be watched.
func BenchmarkFanout(b *testing.B) {
	s := newBackends(b, true)
	for _, model := range []synth.Model{synth.Burst, synth.Browser} {
		for _, n := range strings.Split(*viewers, ",") {
			subs, err := strconv.Atoi(n)
			if err != nil {
				b.Fatalf("-viewers %s: %v", *viewers, err)
			}
			b.Run(fmt.Sprintf("%s/%d", model, subs), func(b *testing.B) {
				s.compare(b, scenario{Config: load.Config{Pubs: 1, Subs: subs, Traffic: model}, people: subs})
			})
		}
	}
}

// BenchmarkManyRooms has fifty rooms with four people each, who all publish and watch the others: at 10 frames of one packet and 20 packets
// of audio a second, so that two cores can carry it.
func BenchmarkManyRooms(b *testing.B) {
	const rooms, people = 50, 4
	newBackends(b, true).compare(b, scenario{
		Config: load.Config{Rooms: rooms, Pubs: people, Meeting: true, Sections: people - 1, FPS: 10, Packets: 1, AudioRate: 20},
		people: rooms * people, all: true,
	})
}

// BenchmarkAudio has ten speakers and two hundred listeners. Each speaker sends twenty packets a second: as many as come, on average, when
// four of ten speak and the others' encoders find silence.
func BenchmarkAudio(b *testing.B) {
	const speakers, listeners = 10, 200
	newBackends(b, true).compare(b, scenario{
		Config: load.Config{Pubs: speakers, Subs: listeners, NoVideo: true, Sections: speakers, AudioRate: 20}, people: listeners,
	})
}

// compare measures plain pion and this node by turns.
func (s *backends) compare(b *testing.B, sc scenario) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // how long it took says nothing
	if *profile != "" {
		table(b, false, named{"node", []cost{s.measureNode(b, sc)}})
		return
	}
	plain, node := named{name: "plain"}, named{name: "node"}
	turns := []func(){
		func() { plain.costs = append(plain.costs, s.measurePlain(b, sc)) },
		func() { node.costs = append(node.costs, s.measureNode(b, sc)) },
	}
	for range *rounds {
		for _, turn := range turns {
			turn()
		}
		slices.Reverse(turns)
	}
	table(b, true, plain, node)
	r, n, p := ratios(node.costs, plain.costs), medians(node.costs), medians(plain.costs)
	b.ReportMetric(r.perPacket, "cpu-ratio")
	b.ReportMetric(r.memory, "memory-ratio")
	b.ReportMetric(r.p50, "p50-ratio")
	b.ReportMetric(r.p99, "p99-ratio")
	b.ReportMetric(p.perPacket, "plain-µs/packet")
	b.ReportMetric(n.perPacket, "node-µs/packet")
	b.ReportMetric(n.memory*1e3, "node-KB/person")
	b.ReportMetric(n.lost, "node-lost")
}

func (s *backends) measurePlain(tb testing.TB, sc scenario) cost {
	tb.Helper()
	srv := s.startPlain(tb)
	defer srv.process.Stop()
	sc.URL = srv.url
	o := s.measure(tb, sc, srv)
	return costOf(o, o.servers[0], sc.people)
}

func (s *backends) measureNode(tb testing.TB, sc scenario) cost {
	tb.Helper()
	srv := s.startNode(tb, s.namespace())
	defer srv.process.Stop()
	sc.URL = srv.url
	o := s.measure(tb, sc, srv)
	return costOf(o, o.servers[0], sc.people)
}
