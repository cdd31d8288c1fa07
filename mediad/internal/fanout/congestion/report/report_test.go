package report

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// arrival is what a report tells of one packet.
type arrival struct {
	seq uint16
	at  int64 // µs; -1: not received
}

// told lists what b tells, by our own reading.
func told(b []byte) ([]arrival, error) {
	r, err := Parse(b)
	if err != nil {
		return nil, err
	}
	var out []arrival
	at, seq := int64(r.Reference)*Tick, r.Base
	for walk := r.Walk(); walk.More(); {
		n, received := walk.Next()
		for range n {
			a := arrival{seq, -1}
			if received {
				at += walk.Delta()
				a.at = at
			}
			out = append(out, a)
			seq++
		}
	}
	return out, nil
}

// toldByPion is the same by pion's. certain is false where pion is known to read otherwise: it takes deltas for symbols beyond the count,
// and knows no padding and no reserved symbol.
func toldByPion(b []byte) (_ []arrival, certain bool, _ error) {
	var p rtcp.TransportLayerCC
	if err := p.Unmarshal(b); err != nil {
		return nil, false, err
	}
	certain = b[0]&0x20 == 0
	var symbols []uint16
	for _, c := range p.PacketChunks {
		switch c := c.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				symbols = append(symbols, c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			symbols = append(symbols, c.SymbolList...)
		}
	}
	count := int(p.PacketStatusCount)
	if len(symbols) < count {
		return nil, false, errors.New("too few symbols")
	}
	var out []arrival
	at := int64(p.ReferenceTime) * Tick
	for i, s := range symbols[:count] {
		a := arrival{p.BaseSequenceNumber + uint16(i), -1}
		if s == 3 {
			return nil, false, nil
		}
		if s != 0 {
			at += p.RecvDeltas[0].Delta
			p.RecvDeltas = p.RecvDeltas[1:]
			a.at = at
		}
		out = append(out, a)
	}
	for _, s := range symbols[count:] {
		certain = certain && s == 0
	}
	return out, certain, nil
}

// sample makes a report as a browser would, of packets that came at times in ms after the first.
func sample(t testing.TB, base uint16, at ...int64) []byte {
	t.Helper()
	r := twcc.NewRecorder(1)
	for i, ms := range at {
		if ms >= 0 {
			r.Record(2, base+uint16(i), 10_000_000+1000*ms)
		}
	}
	b, err := r.BuildFeedbackPacket()[0].Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func samples(t testing.TB) map[string][]byte {
	t.Helper()
	run := make([]int64, 300)
	mixed := make([]int64, 100)
	for i := range mixed {
		run[i] = int64(i)
		mixed[i] = int64(i*i) % 911
		if i%7 == 3 {
			mixed[i] = -1
		}
	}
	all := map[string][]byte{
		"one":        sample(t, 7, 0),
		"two":        sample(t, 7, 0, 5),
		"hole":       sample(t, 7, 0, -1, -1, 9),
		"reordered":  sample(t, 7, 20, 0, 30),
		"large step": sample(t, 7, 0, 300, 301),
		"wraps":      sample(t, 65_530, run[:20]...),
		"long run":   sample(t, 7, run...),
		"mixed":      sample(t, 7, mixed...),
	}
	padded := bytes.Clone(all["one"])
	padded[0] |= 0x20
	padded[len(padded)-1] = 1 // in place of the zero that pion put there
	all["padded"] = padded
	return all
}

func TestReportsAsPionReadsThem(t *testing.T) {
	for name, b := range samples(t) {
		got, err := told(b)
		want, _, pionErr := toldByPion(b)
		if err != nil || pionErr != nil {
			t.Errorf("%s: %v, pion: %v", name, err, pionErr)
			continue
		}
		compare(t, name, got, want)
	}
}

func compare(t *testing.T, name string, got, want []arrival) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d packets, pion %d", name, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: %+v, pion %+v", name, got[i], want[i])
			return
		}
	}
}

func TestMalformedReports(t *testing.T) {
	good := sample(t, 7, 0, -1, -1, 9)
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], to)
		return b
	}
	for name, b := range map[string][]byte{
		"empty":                nil,
		"cut in the header":    good[:19],
		"cut at the end":       good[:len(good)-1],
		"version":              change(0, 0x4f),
		"format":               change(0, 0x8e),
		"type":                 change(1, 206),
		"length of too little": change(2, 0, 3),
		"longer than it is":    change(2, 0, 200),
		"of nothing":           change(14, 0, 0),
		"too few chunks":       change(14, 0xff, 0xff),
		"too few deltas":       change(20, 0x20, 200),
		"reserved symbol":      change(20, 0x60, 4),
		"padding of nothing":   change(0, 0xaf),
		"padding of all":       append(change(0, 0xaf)[:len(good)-1], 255),
	} {
		if _, err := told(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What stands beyond the count means nothing.
func TestReportWithSymbolsBeyondTheCount(t *testing.T) {
	b := []byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 2, 0, 0, 1, 9, 0xbf, 0xff, 4, 8} // fourteen received, of which two count
	got, err := told(b)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "beyond", got, []arrival{{7, 65_000}, {8, 67_000}})
}

func FuzzReport(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := told(b)
		want, certain, pionErr := toldByPion(b)
		switch {
		case err == nil && pionErr == nil && certain:
			compare(t, "both took it", got, want)
		case err != nil && pionErr == nil && certain && len(want) > 0:
			t.Errorf("refused what pion takes: %x", b)
		}
	})
}
