package roster

import (
	"cmp"
	"maps"
	"slices"

	"weever/shared/room"
)

// View is who publishes in a room, as far as this node knows. It never changes: nobody may write to it or to the slices in its
// records, and everybody may read it at once.
type View struct {
	Seq        int64 // the highest step of the room's history that is in it
	Publishers map[room.FullID]room.Publisher

	// Unconfirmed are those of Publishers that Redis should know and did not when it was last asked. They are in the room all the
	// same; a node that serves one restores its record.
	Unconfirmed map[room.FullID]struct{}
}

// Sorted lists the publishers, oldest first, then by full id.
func (v *View) Sorted() []room.Publisher { return sorted(slices.Collect(maps.Values(v.Publishers))) }

// Lost lists the unconfirmed publishers that this instance serves, in the order of Sorted: store.RestorePublisher and Tell put
// each right.
func (v *View) Lost(instance string) []room.Publisher {
	var list []room.Publisher
	for id := range v.Unconfirmed {
		if p := v.Publishers[id]; p.Owner.Instance == instance {
			list = append(list, p)
		}
	}
	return sorted(list)
}

func sorted(list []room.Publisher) []room.Publisher {
	slices.SortFunc(list, func(a, b room.Publisher) int {
		return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), cmp.Compare(a.FullID.String(), b.FullID.String()))
	})
	return list
}

// view copies what the ledger believes.
func (l *ledger) view() *View {
	v := &View{Seq: l.top, Publishers: make(map[room.FullID]room.Publisher, len(l.pubs)), Unconfirmed: map[room.FullID]struct{}{}}
	for id, e := range l.pubs {
		v.Publishers[id] = e.pub
		if e.lost {
			v.Unconfirmed[id] = struct{}{}
		}
	}
	return v
}
