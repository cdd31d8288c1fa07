// Package speakers works out when a viewer's client is to be told who is heard.
//
// It is pure. A viewer's Run owns a Board: twice a second, after Wait, it tells the Board how loud everybody is, and sends what it gets.
package speakers

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"weever/mediad/internal/control"
	"weever/shared/room"
)

const (
	period = 500 * time.Millisecond // between turns
	beat   = period / 8

	most  = 8   // speakers told
	quiet = 100 // levels from here on are silence, in -dBov
	step  = 5   // dB by which a level must have changed to be told again
)

// Wait is how long it is from now to a viewer's next turn. The turns of all viewers fall on the same few moments: a node that sleeps
// wakes up for many of them at once.
func Wait(now time.Time) time.Duration { return period - time.Duration(now.UnixNano())%beat }

// Board is what the client of one viewer was last told. The zero value is that of a client that was told nothing.
type Board struct {
	told []control.Speaker
	now  []control.Speaker // of the turn that Add began
}

// Add says how loud one track of a publisher is, in -dBov. Of several the loudest counts.
func (b *Board) Add(pub room.FullID, level uint8) {
	if level >= quiet {
		return
	}
	if i := slices.IndexFunc(b.now, func(s control.Speaker) bool { return s.Pub == pub }); i >= 0 {
		b.now[i].Level = min(b.now[i].Level, level)
		return
	}
	b.now = append(b.now, control.Speaker{Pub: pub, Level: level})
}

// Turn ends a turn: those not added since the last are silent. It gives what to tell; false: nothing that would matter has changed.
func (b *Board) Turn() (control.Speakers, bool) {
	slices.SortFunc(b.now, func(x, y control.Speaker) int {
		return cmp.Or(cmp.Compare(x.Level, y.Level), strings.Compare(x.Pub.String(), y.Pub.String()))
	})
	b.now = b.now[:min(len(b.now), most)]
	if slices.EqualFunc(b.told, b.now, same) {
		b.now = b.now[:0]
		return control.Speakers{}, false
	}
	b.told, b.now = b.now, b.told[:0]
	return control.Speakers{Speakers: b.told}, true
}

func same(x, y control.Speaker) bool {
	return x.Pub == y.Pub && max(x.Level, y.Level)-min(x.Level, y.Level) < step
}
