package feedback

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

const ssrc = 7

// compound marshals packets one behind the other.
func compound(tb testing.TB, packets ...rtcp.Packet) []byte {
	tb.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Sent
		for i := range uint64(6) {
			s.Note((i + 1) << 16)
			<-time.After(time.Second)
		}
		for _, tc := range []struct {
			mid, delay uint32
			want       time.Duration // 0: not remembered
		}{
			{0, 0, 0},
			{2, 0, 0},
			{3, 0, 4 * time.Second},
			{6, 0, time.Second},
			{6, 1 << 15, time.Second / 2},
			{6, 1 << 18, time.Microsecond}, // kept for longer than it was away
		} {
			if got, ok := s.roundTrip(tc.mid, tc.delay); got != tc.want || ok != (tc.want != 0) {
				t.Errorf("%d, kept for %d: %v, %v, want %v", tc.mid, tc.delay, got, ok, tc.want)
			}
		}
	})
}

func TestNacksAreBounded(t *testing.T) {
	var r Reader
	long := &rtcp.TransportLayerNack{MediaSSRC: ssrc}
	for i := range uint16(maxNacks + 1) {
		long.Nacks = append(long.Nacks, rtcp.NackPair{PacketID: 20 * i})
	}
	if got, more, mine := r.Nacks(compound(t, long), ssrc); len(got) != maxNacks || more != 1 || !mine || got[1].PacketID != 20 {
		t.Errorf("%d entries and %d packets more, mine: %v", len(got), more, mine)
	}
	if got, _, mine := r.Nacks(compound(t, long), 9); got != nil || mine {
		t.Errorf("for another: %d entries", len(got))
	}
}

// TestReadingDoesNotAllocate, for it happens several times a second for each viewer.
func TestReadingDoesNotAllocate(t *testing.T) {
	b := compound(t,
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: ssrc, TotalLost: 3}}},
		&rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: []rtcp.NackPair{{PacketID: 1}, {PacketID: 100}}},
		&rtcp.PictureLossIndication{MediaSSRC: ssrc},
	)
	var r Reader
	var s Sent
	var q Quality
	nacks, wishes := 0, 0
	read := func() {
		nacks, wishes = 0, 0
		for kind, packet := range Packets(b) {
			switch kind {
			case Report:
				r.Report(packet, ssrc, 90000, &s, &q)
			case Nack:
				list, _, _ := r.Nacks(packet, ssrc)
				nacks += len(list)
			case Keyframe:
				if WantsKeyframe(packet, ssrc) {
					wishes++
				}
			}
		}
	}
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("%v allocations per compound packet", n)
	}
	if q.Lost != 3 || nacks != 2 || wishes != 1 {
		t.Errorf("read %+v, %d entries, %d wishes", q, nacks, wishes)
	}
}
