package controlapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/store"
)

const (
	pageDefault = 100  // rooms of a page
	pageMax     = 1000 // rooms of a page at most
)

// peer is what the API tells of a session. Records hold more (the session's URL, the bus name of its node): those are secrets
// between nodes, hence a type of its own.
type peer struct {
	ID       room.ID      `json:"id"` // the person
	FullID   room.FullID  `json:"full_id"`
	Node     string       `json:"node"`
	State    room.State   `json:"state"`
	JoinedAt time.Time    `json:"joined_at"`
	Tracks   []room.Track `json:"tracks"`
}

// listed is the JSON answer of GET /list/{role}/{room}.
type listed struct {
	Room  room.Name `json:"room"`
	Role  room.Role `json:"role"`
	Peers []peer    `json:"peers"`
}

// list tells who is in a room. Text names the live ones only, as it cannot say that somebody is away; JSON has all with their state.
func (a *api) list(role room.Role) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		rm, err := roomOf(r)
		if err != nil {
			return err
		}
		peers, err := a.peers(r.Context(), rm, role)
		if err != nil {
			return err
		}
		if apierr.AcceptsJSON(r) {
			return sendJSON(w, listed{Room: rm, Role: role, Peers: peers})
		}
		live := []string{}
		for _, p := range peers {
			if p.State == room.Live {
				live = append(live, p.FullID.String())
			}
		}
		return sendText(w, strings.Join(live, ","))
	}
}

// peers reads the records of one role; none is an empty list.
func (a *api) peers(ctx context.Context, rm room.Name, role room.Role) ([]peer, error) {
	peers := []peer{}
	if role == room.Sub {
		subs, err := a.store.Subscribers(ctx, rm)
		for _, s := range subs {
			peers = append(peers, peer{
				ID: s.FullID.ID(), FullID: s.FullID, Node: s.Owner.Node, State: room.Live, JoinedAt: s.JoinedAt, Tracks: []room.Track{},
			})
		}
		return peers, err
	}
	pubs, err := a.store.Publishers(ctx, rm)
	for _, p := range pubs {
		if p.Tracks == nil {
			p.Tracks = []room.Track{}
		}
		peers = append(peers, peer{
			ID: p.FullID.ID(), FullID: p.FullID, Node: p.Owner.Node, State: p.State, JoinedAt: p.JoinedAt, Tracks: p.Tracks,
		})
	}
	return peers, err
}

// page is the JSON answer of GET /rooms.
type page struct {
	Rooms []store.RoomCount `json:"rooms"`
	Next  *string           `json:"next"` // value of ?after= for the next page; null on the last one
}

// rooms lists the rooms somebody is in, page by page.
func (a *api) rooms(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	after, limit := q.Get("after"), pageDefault
	if after != "" {
		if _, err := room.ParseName(after); err != nil {
			return badName(err)
		}
	}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > pageMax {
			return apierr.New(apierr.BadRequest, "limit must be a whole number from 1 to %d", pageMax)
		}
		limit = n
	}
	rooms, next, err := a.store.Rooms(r.Context(), after, limit)
	if err != nil {
		return err
	}
	p := page{Rooms: rooms}
	if p.Rooms == nil {
		p.Rooms = []store.RoomCount{}
	}
	if next != "" {
		p.Next = &next
	}
	return sendJSON(w, p)
}
