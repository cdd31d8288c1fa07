package sidebyside

import (
	"fmt"
	"testing"

	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/load"
)

// Counters of a node's relay.
const (
	relayedPackets  = `weever_relay_packets_total{direction="out"}`
	relayedMessages = `weever_relay_messages_total{direction="out"}`
)

// relayed is what one round says of the relay.
type relayed struct {
	a, b, nats float64 // µs of CPU time for each packet relayed, of the publishers' node, of the viewers' and of the NATS server
	more       float64 // µs that both nodes use more than one that does all
	messages   float64 // of NATS, for each packet
}

// BenchmarkTwoNodes has the publishers at one node and the viewers at another, which share a core; the same at one node is measured by
// turns. With ten publishers and one viewer the relay is most of the work, with one publisher and fifty viewers it is the least. Sound is a
// message for each of its packets, which are 20 ms apart; pictures by themselves show how many packets a frame's message holds.
func BenchmarkTwoNodes(b *testing.B) {
	s := newBackends(b, true)
	for _, model := range []synth.Model{synth.Burst, synth.Browser} {
		for _, n := range []struct {
			pubs, subs int
			silent     bool
		}{{10, 1, false}, {1, 50, false}, {10, 1, true}} {
			name := fmt.Sprintf("%s/%d-to-%d", model, n.pubs, n.subs)
			if n.silent {
				name += "-silent"
			}
			b.Run(name, func(b *testing.B) {
				s.relay(b, scenario{Config: load.Config{Pubs: n.pubs, Subs: n.subs, Sections: n.pubs, NoAudio: n.silent, Traffic: model}, people: n.subs})
			})
		}
	}
}

func (s *backends) relay(b *testing.B, sc scenario) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // how long it took says nothing
	one, first, second := named{name: "one node"}, named{name: "publishers'"}, named{name: "viewers'"}
	var all []relayed
	for range *rounds {
		alone := s.measureNode(b, sc)
		o := s.measureTwo(b, sc)
		one.costs = append(one.costs, alone)
		first.costs = append(first.costs, costOf(o, o.servers[0], sc.people))
		second.costs = append(second.costs, costOf(o, o.servers[1], sc.people))
		sent := o.servers[0].counted[relayedPackets]
		if sent == 0 {
			b.Fatal("nothing was relayed")
		}
		delivered := float64(o.Video.Packets + o.Audio.Packets)
		both := us(o.servers[0].cpu.sum + o.servers[1].cpu.sum)
		all = append(all, relayed{
			a: us(o.servers[0].cpu.sum) / sent, b: us(o.servers[1].cpu.sum) / sent, nats: us(o.nats.sum) / sent,
			more: (both - alone.perPacket*delivered) / sent, messages: o.servers[0].counted[relayedMessages] / sent,
		})
	}
	table(b, false, one, first, second)
	for unit, of := range map[string]func(relayed) float64{
		"publishers-µs/relayed": func(r relayed) float64 { return r.a },
		"viewers-µs/relayed":    func(r relayed) float64 { return r.b },
		"nats-µs/relayed":       func(r relayed) float64 { return r.nats },
		"more-µs/relayed":       func(r relayed) float64 { return r.more },
		"messages/packet":       func(r relayed) float64 { return r.messages },
	} {
		var values []float64
		for _, r := range all {
			values = append(values, of(r))
		}
		b.ReportMetric(median(values), unit)
	}
}

// measureTwo has the publishers at the first of two nodes and the viewers at the second.
func (s *backends) measureTwo(tb testing.TB, sc scenario) outcome {
	tb.Helper()
	namespace := s.namespace()
	first, second := s.startNode(tb, namespace), s.startNode(tb, namespace)
	defer first.process.Stop()
	defer second.process.Stop()
	sc.PubURL, sc.URL = first.url+"/pub/{room}/{id}", second.url
	return s.measure(tb, sc, first, second)
}
