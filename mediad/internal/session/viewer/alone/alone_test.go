package alone

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		over := func() bool {
			select {
			case <-w.Over():
				return true
			default:
				return false
			}
		}
		pass := func(d time.Duration) { <-time.After(d) }
		pass(2 * patience)
		w.Look(true)
		pass(2 * patience)
		if over() {
			t.Error("over though something played")
		}
		w.Look(false)
		pass(patience / 2)
		w.Look(false) // is no new beginning
		pass(patience/2 - time.Second)
		if over() {
			t.Error("over too soon")
		}
		pass(2 * time.Second)
		if !over() {
			t.Error("not over")
		}
		w.Look(true)
		w.Look(false)
		pass(patience / 2)
		w.Look(true)
		pass(patience)
		if over() {
			t.Error("over though it came back")
		}
		w.Look(false)
		w.Stop()
		pass(2 * patience)
		if over() {
			t.Error("over though it was stopped")
		}
	})
}
