package receipts

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ours   = 0x0a0b0c0d
	theirs = 77
	clock  = 48000
)

// start is when a test begins.
func start() time.Time { return time.Unix(1_700_000_000, 0) }

// parsed is what a publisher would read of packets sent as one.
func parsed(t *testing.T, packets []rtcp.Packet) []rtcp.Packet {
	t.Helper()
	if len(packets) == 0 {
		return nil
	}
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	out, err := rtcp.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// blocks are the reports among packets.
func blocks(t *testing.T, packets []rtcp.Packet) (out []rtcp.ReceptionReport) {
	t.Helper()
	for _, p := range parsed(t, packets) {
		if r, ok := p.(*rtcp.ReceiverReport); ok {
			if r.SSRC != ours {
				t.Errorf("a report by %x", r.SSRC)
			}
			out = append(out, r.Reports...)
		}
	}
	return out
}

// wanted are the numbers that packets ask for.
func wanted(t *testing.T, packets []rtcp.Packet) (out []uint16) {
	t.Helper()
	for _, p := range parsed(t, packets) {
		if n, ok := p.(*rtcp.TransportLayerNack); ok {
			if n.SenderSSRC != ours || n.MediaSSRC != theirs {
				t.Errorf("asked by %x of %d", n.SenderSSRC, n.MediaSSRC)
			}
			for _, pair := range n.Nacks {
				out = append(out, pair.PacketList()...)
			}
		}
	}
	return out
}

// from lists count numbers.
func from(first uint16, count int) (out []uint16) {
	for i := range count {
		out = append(out, first+uint16(i))
	}
	return out
}

// without leaves some of the places out.
func without(seqs []uint16, lost func(place int) bool) (out []uint16) {
	for i, seq := range seqs {
		if !lost(i) {
			out = append(out, seq)
		}
	}
	return out
}

func every(n int) func(int) bool { return func(i int) bool { return i%n == n-1 } }

// silence runs a Book until it is due nothing, and returns everything that it wrote.
func silence(t *testing.T, b *Book) (out []rtcp.Packet) {
	t.Helper()
	for range 10_000 {
		due := b.Due()
		if due.IsZero() {
			return out
		}
		if early := b.Write(due.Add(-time.Nanosecond)); len(early) > 0 {
			t.Fatalf("written before it was due: %v", early)
		}
		out = append(out, b.Write(due)...)
	}
	t.Fatal("of a silent publisher there is no end")
	return nil
}

func same(t *testing.T, what string, got, want []uint16) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
