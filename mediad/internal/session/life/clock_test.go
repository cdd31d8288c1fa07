package life

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestClock: each thing is told once, but for key frames; those who do not want to know are not told.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		note := func(what string) func(time.Duration) {
			return func(d time.Duration) { told = append(told, what+" "+d.String()) }
		}
		c := NewClock(time.Now(), Times{Answered: note("answered"), Connected: note("connected"), Media: note("media"), Keyframe: note("keyframe")})
		<-time.After(time.Second)
		c.Answered()
		<-time.After(time.Second)
		c.Connected()
		<-time.After(time.Second)
		c.Connected()
		c.Wrote(false, time.Millisecond)
		c.Wrote(true, 5*time.Millisecond)
		c.Wrote(true, 6*time.Millisecond)
		want := []string{"answered 1s", "connected 2s", "media 3s", "keyframe 5ms", "keyframe 6ms"}
		if !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		none := NewClock(time.Now(), Times{})
		none.Answered()
		none.Connected()
		none.Wrote(true, 0)
		if n := testing.AllocsPerRun(100, func() { none.Wrote(true, 0) }); n != 0 {
			t.Errorf("%v allocations for a first packet", n)
		}
	})
}

// TestNobodyThere: a viewer of an empty room waits for people, not for the node.
func TestNobodyThere(t *testing.T) {
	var media, pictures int
	c := NewClock(time.Now(), Times{Media: func(time.Duration) { media++ }, Keyframe: func(time.Duration) { pictures++ }})
	c.NobodyThere()
	c.Wrote(true, time.Millisecond)
	if media != 0 || pictures != 1 {
		t.Errorf("told of the first media %d times, of a picture %d times", media, pictures)
	}
}

// TestState: a session that was ended is not what it was any more.
func TestState(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := &Life{Ctx: ctx}
	for _, s := range []State{Pending, Live, Away} {
		l.Reach(s)
		if got := l.State(); got != s {
			t.Errorf("%s, want %s", got, s)
		}
	}
	cancel()
	if got := l.State(); got != Ending {
		t.Errorf("%s, want %s", got, Ending)
	}
}
