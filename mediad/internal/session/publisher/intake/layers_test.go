package intake

import (
	"slices"
	"testing"
	"time"

	"weever/shared/room"
)

// flow is a simulcast track whose frames a test makes, 30 a second.
type flow struct {
	t   *testing.T
	in  *Intake
	i   *input
	now time.Time
}

func (f *flow) frames(n int, rids ...string) {
	for range n {
		f.now = f.now.Add(time.Second / 30)
		for _, rid := range rids {
			f.in.frameLocked(f.i, rid, f.now)
		}
	}
}

// lists checks what viewers are told, and whether the session was told that it has changed.
func (f *flow) lists(what string, changed bool, want ...string) {
	f.t.Helper()
	if !slices.Equal(f.i.track.Layers, want) {
		f.t.Errorf("%s: %v, want %v", what, f.i.track.Layers, want)
	}
	select {
	case <-f.in.Changed():
		if !changed {
			f.t.Errorf("%s: the session was told of a change", what)
		}
	default:
		if changed {
			f.t.Errorf("%s: the session was not told", what)
		}
	}
}

func TestLayersAreListedWhileTheyFlow(t *testing.T) {
	t.Parallel()
	f := &flow{t: t, in: empty(t), now: time.Now(), i: &input{
		layers: []layer{{rid: "h"}, {rid: "m"}, {rid: "l"}}, track: room.Track{Layers: []string{"h", "m", "l"}},
	}}
	f.in.inputs = []*input{f.i}
	f.lists("declared", false, "h", "m", "l")
	f.frames(5, "m", "l")
	f.lists("one is late", false, "h", "m", "l")
	f.frames(25, "m", "l")
	f.lists("one has not begun", true, "m", "l")
	f.frames(3, "h", "m", "l")
	f.frames(30, "m", "l")
	f.lists("a few frames of it", false, "m", "l")
	f.frames(30, "h", "m", "l")
	f.lists("it flows", true, "h", "m", "l")
	f.frames(20, "h", "m")
	f.lists("a pause", false, "h", "m", "l")
	f.frames(40, "m")
	f.lists("one alone flows", true, "m")
	f.now = f.now.Add(time.Minute) // nothing moves on the screen
	f.frames(1, "m")
	f.lists("all were silent", false, "m")
	f.frames(30, "l", "m", "h")
	f.lists("they have stopped before", false, "m")
	f.frames(60, "l", "m", "h")
	f.lists("all flow", true, "h", "m", "l")
}

// A layer that comes and goes makes the list change less and less: each change costs everybody in the room. When it has flowed for
// long, it is trusted again.
func TestALayerThatComesAndGoes(t *testing.T) {
	t.Parallel()
	f := &flow{t: t, in: empty(t), now: time.Now(), i: &input{
		layers: []layer{{rid: "h"}, {rid: "l"}}, track: room.Track{Layers: []string{"h", "l"}},
	}}
	f.in.inputs = []*input{f.i}
	f.frames(30, "h", "l")
	back := func() int { // frames until it is listed again, after it has stopped
		t.Helper()
		f.frames(60, "l")
		f.lists("it has stopped", true, "l")
		n := 0
		for ; len(f.i.track.Layers) < 2 && n < 1000; n++ {
			f.frames(1, "h", "l")
		}
		f.lists("it flows again", true, "h", "l")
		return n
	}
	for _, want := range []int{2, 4, 8, 15, 15} {
		if got := back(); got < 30*want || got > 30*want+30 {
			t.Errorf("listed again after %d frames, want about %d s of them", got, want)
		}
	}
	f.frames(30*61, "h", "l")
	if got := back(); got > 90 {
		t.Errorf("listed again after %d frames, though it had flowed for a minute", got)
	}
	changes := 0
	for range 60 { // of two seconds each
		for _, rids := range [][]string{{"h", "l"}, {"l"}} {
			f.frames(30, rids...)
			select {
			case <-f.in.Changed():
				changes++
			default:
			}
		}
	}
	if changes > 2 {
		t.Errorf("the list changed %d times in two minutes of a layer that comes and goes", changes)
	}
}

// A screen is shared with a frame a second or less in its best layer: that one flows.
func TestASlowLayerFlows(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{time.Second, 2 * time.Second} {
		f := &flow{t: t, in: empty(t), now: time.Now(), i: &input{
			layers: []layer{{rid: "h"}, {rid: "l"}}, track: room.Track{Layers: []string{"h", "l"}},
		}}
		f.in.inputs = []*input{f.i}
		for range 30 {
			f.frames(1, "h", "l")
			f.frames(int(30*pause/time.Second), "l")
			f.lists("a frame every "+pause.String(), false, "h", "l")
		}
		f.frames(int(3*30*pause/time.Second), "l")
		f.lists("it has stopped", true, "l")
	}
}

// A track always has a layer, or its viewers had nothing to wait for.
func TestTheListIsNeverEmpty(t *testing.T) {
	t.Parallel()
	f := &flow{t: t, in: empty(t), now: time.Now(), i: &input{
		layers: []layer{{rid: "h", stopped: true}, {rid: "l", stopped: true}}, track: room.Track{Layers: []string{"h", "l"}},
	}}
	f.in.inputs = []*input{f.i}
	f.frames(2, "h")
	f.lists("none flows", false, "h", "l")
	f.frames(30, "h")
	f.lists("one does", true, "h")
}

// After a change of codec the streams are new and have no pictures yet: the order that was found stays.
func TestTheOrderStaysWhileSizesAreNotKnown(t *testing.T) {
	t.Parallel()
	f := &flow{t: t, in: empty(t), now: time.Now(), i: &input{
		layers: []layer{{rid: "l"}, {rid: "h"}}, track: room.Track{Layers: []string{"h", "l"}},
	}}
	f.in.inputs = []*input{f.i}
	f.frames(60, "l", "h")
	f.lists("no size is known", false, "h", "l")
}

// Each change is told to everybody in the room: however many tracks a publisher has, they take turns.
func TestChangesOfAllTracksAreTold(t *testing.T) {
	t.Parallel()
	in, now := empty(t), time.Now()
	var tracks []*input
	for range maxTracks {
		tracks = append(tracks, &input{layers: []layer{{rid: "h"}, {rid: "l"}}, track: room.Track{Layers: []string{"h", "l"}}})
	}
	in.inputs = tracks
	frames, told := 150, 0 // of five seconds
	for f := range frames {
		now = now.Add(time.Second / 30)
		for n, i := range tracks {
			if f >= 3*n { // they begin one after the other; the better layer of none does
				in.frameLocked(i, "l", now)
			}
		}
		select {
		case <-in.Changed():
			told++
		default:
		}
	}
	if most := 5 * int(time.Second/listPause); told > most {
		t.Errorf("%d changes were told in five seconds, want %d at most", told, most)
	}
	for n, i := range tracks {
		if !slices.Equal(i.track.Layers, []string{"l"}) {
			t.Errorf("track %d lists %v", n, i.track.Layers)
		}
	}
}
