package follow

import (
	"testing"
	"testing/synctest"
	"time"
)

// The longest silence spans sessions, counts what is silent still, and bears packets that two sessions bring in disorder.
func TestMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testMeter)
}

func testMeter(t *testing.T) {
	m := meter{tracks: map[track]*Silence{}}
	zero := time.Now().Add(-time.Second)
	for _, ms := range []int{0, 20, 320, 300, 330} {
		m.note("bob", "audio0", zero.Add(time.Duration(ms)*time.Millisecond))
	}
	m.note("alice", "video0", zero.Add(990*time.Millisecond))
	all := m.Silences()
	if len(all) != 2 || all[0].Pub != "alice" || all[0].Longest > 500*time.Millisecond {
		t.Fatalf("%+v", all)
	}
	bob := all[1]
	if bob.Packets != 5 || bob.Longest < 670*time.Millisecond || !bob.Began.Equal(zero.Add(330*time.Millisecond)) {
		t.Errorf("silent still: %+v", bob)
	}
	m.note("bob", "audio0", zero.Add(400*time.Millisecond))
	m.Measure()
	for ms := 420; ms < 1000; ms += 20 {
		m.note("bob", "audio0", zero.Add(time.Duration(ms)*time.Millisecond))
	}
	if bob := m.Silences()[1]; bob.Longest > 300*time.Millisecond || bob.Packets != 29 {
		t.Errorf("measured anew: %+v", bob)
	}
}
