package loudness

import (
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var m Meter
	hear := func(level uint8, packets int) uint8 {
		for range packets {
			now = now.Add(20 * time.Millisecond)
			m.Add(level, now)
		}
		return m.Level(now)
	}
	near := func(what string, got, want uint8) {
		t.Helper()
		if got > want+2 || got+2 < want {
			t.Errorf("%s: level %d, want about %d", what, got, want)
		}
	}
	near("nothing heard", m.Level(now), Silence)
	if first := hear(20, 1); first < 100 {
		t.Errorf("one packet alone counts as %d", first)
	}
	near("talking", hear(20|0x80, 14), 20)
	near("a pause between words", hear(127, 5), 50)
	near("talking on", hear(20, 14), 20)
	near("softer", hear(60, 60), 60)
	near("silence", hear(127, 100), Silence)
	near("as loud as can be", hear(0, 40), 0)
	near("no packet for a while", m.Level(now.Add(900*time.Millisecond)), 0)
	near("no packet for long", m.Level(now.Add(1100*time.Millisecond)), Silence)
	now = now.Add(2 * time.Second)
	if again := hear(0, 1); again < 90 {
		t.Errorf("after a gap the past still counts: %d", again)
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	var m Meter
	now := time.Unix(1, 0)
	if n := testing.AllocsPerRun(100, func() { m.Add(30, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
