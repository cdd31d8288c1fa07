package follow

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

// The longest silence spans sessions, counts what is silent still, and bears packets that two sessions bring in disorder.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := meter{tracks: map[track]*watched{}}
		zero := time.Now()
		note := func(pub string, ms int) {
			m.note(pub, "audio0", &rtp.Packet{Payload: []byte{1}}, zero.Add(time.Duration(ms)*time.Millisecond))
		}
		for _, ms := range []int{0, 20, 320, 300, 330} {
			note("bob", ms)
		}
		note("alice", 990)
		<-time.After(time.Second)
		all := m.Silences()
		if len(all) != 2 || all[0].Pub != "alice" || all[0].Longest != 10*time.Millisecond {
			t.Fatalf("%+v", all)
		}
		if bob := all[1]; bob.Packets != 5 || bob.Longest != 670*time.Millisecond || !bob.Began.Equal(zero.Add(330*time.Millisecond)) {
			t.Errorf("silent still: %+v", bob)
		}
		m.Measure()
		note("bob", 1000)
		if bob := m.Silences()[1]; bob.Longest != 670*time.Millisecond || bob.Packets != 1 {
			t.Errorf("measured anew: %+v", bob)
		}
	})
}

// Rows grow, meet and are found again, whatever the order of their packets.
func TestRows(t *testing.T) {
	t.Parallel()
	at := func(n uint32) time.Time { return time.Unix(int64(n), 0) }
	for _, order := range [][]uint32{{0, 1, 2, 3, 7, 8}, {8, 3, 2, 7, 1, 0}, {1, 3, 2, 0, 8, 7, 7, 0, 3}, {7, 0, 8, 1, 3, 2}} {
		var rows []span
		for _, n := range order {
			rows = add(rows, n, at(n))
		}
		if want := []span{{0, 3, at(0), at(3)}, {7, 8, at(7), at(8)}}; !slices.Equal(rows, want) {
			t.Errorf("%v: %v", order, rows)
		}
	}
}

// A hole is where no source has anything: one that begins before another ends leaves none.
func TestHoles(t *testing.T) {
	t.Parallel()
	row := func(from, to int64) span { return span{uint32(from), uint32(to), time.Unix(from, 0), time.Unix(to, 0)} }
	for name, c := range map[string]struct {
		since   int64
		streams map[uint32][]span
		hole    time.Duration
	}{
		"one row":                {0, map[uint32][]span{1: {row(0, 9)}}, 0},
		"packets are missing":    {0, map[uint32][]span{1: {row(0, 3), row(7, 9)}}, 4 * time.Second},
		"the other source had":   {0, map[uint32][]span{1: {row(0, 3), row(7, 9)}, 2: {row(2, 8)}}, 0},
		"between two sources":    {0, map[uint32][]span{1: {row(0, 3)}, 2: {row(5, 9)}}, 2 * time.Second},
		"long before":            {8, map[uint32][]span{1: {row(0, 3), row(7, 9)}}, 0},
		"half before":            {6, map[uint32][]span{1: {row(0, 3), row(7, 9)}}, time.Second},
		"one inside another row": {0, map[uint32][]span{1: {row(0, 9)}, 2: {row(3, 4)}, 3: {row(12, 13)}}, 3 * time.Second},
	} {
		w := watched{streams: c.streams}
		if got, _ := w.hole(time.Unix(c.since, 0)); got != c.hole {
			t.Errorf("%s: %v, want %v", name, got, c.hole)
		}
	}
}
