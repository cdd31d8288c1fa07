package census

import (
	"sync"
	"sync/atomic"
	"testing"
)

type number uint64

func (n number) Plus(m number) number { return n + m }

// TestSumOutlivesEntries: what was counted stays, and each entry counts once.
func TestSumOutlivesEntries(t *testing.T) {
	var b Book[string, number]
	if got := b.Read(); len(got) != 0 {
		t.Errorf("an empty book says %v", got)
	}
	n := number(3)
	leave := b.Enter("video", func() number { return n })
	stays := b.Enter("audio", func() number { return 10 })
	n = 5
	if got := b.Read()["video"]; got != (Total[number]{1, 5, 5}) {
		t.Errorf("while it lives: %+v", got)
	}
	leave()
	n = 100
	leave()
	if got := b.Read()["video"]; got != (Total[number]{0, 0, 5}) {
		t.Errorf("after it ended: %+v", got)
	}
	b.Enter("video", func() number { return 2 })
	if got := b.Read()["video"]; got != (Total[number]{1, 2, 7}) {
		t.Errorf("with another: %+v", got)
	}
	if got := b.Read()["audio"]; got != (Total[number]{1, 10, 10}) {
		t.Errorf("of another kind: %+v", got)
	}
	stays()
}

// TestNeverFalls: however entering, counting, leaving and reading meet, no reading is below one before.
func TestNeverFalls(t *testing.T) {
	var b Book[int, number]
	var things sync.WaitGroup
	var over atomic.Bool
	for range 4 {
		things.Go(func() {
			for range 300 {
				var n atomic.Uint64
				leave := b.Enter(0, func() number { return number(n.Add(1)) }) // counts on while it is read
				var ends sync.WaitGroup
				ends.Go(leave)
				n.Add(7)
				ends.Wait()
			}
		})
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		last := number(0)
		for !over.Load() {
			now := b.Read()[0].Sum
			if now < last {
				t.Errorf("%d after %d", now, last)
				return
			}
			last = now
		}
	})
	things.Wait()
	over.Store(true)
	readers.Wait()
	if got := b.Read()[0]; got.Live != 0 || got.Sum < 4*300 {
		t.Errorf("in the end %+v", got)
	}
}
