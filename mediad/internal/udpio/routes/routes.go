// Package routes says to whom a remote address belongs, whose packets say nothing about that themselves.
//
// An address is an owner's from when he first sends to it. Sending alone does not take it from another one who is there: a client can make
// the node send anywhere, and so can who sends with a forged source. Who wants it then must have been answered from there, a check whose
// number only he knows who got it. So a client can have the address that its NAT gave somebody else before.
//
// Package udpio has one Table for each socket; its owners are connections.
package routes

import (
	"net/netip"
	"slices"
	"sync"

	"weever/mediad/internal/udpio/peek"
)

const (
	maxOwned  = 256 // addresses of one owner; the oldest gives way. One in use is sent to, and thereby had again, every few seconds
	maxRivals = 8   // who want one address
)

// Table is the addresses of one socket. Its methods may be called by any goroutine.
type Table[Owner comparable] struct {
	mu     sync.RWMutex
	routes map[netip.AddrPort]*route[Owner]
	owned  map[Owner][]netip.AddrPort // the oldest first; of those who have joined
}

// route is whose an address is, and who else wants it.
type route[Owner comparable] struct {
	owner  Owner
	rivals []rival[Owner]
}

type rival[Owner comparable] struct {
	owner Owner
	check peek.ID // the latest that it has sent there
}

// New returns an empty table.
func New[Owner comparable]() *Table[Owner] {
	return &Table[Owner]{routes: map[netip.AddrPort]*route[Owner]{}, owned: map[Owner][]netip.AddrPort{}}
}

// Join says that somebody may own addresses.
func (t *Table[Owner]) Join(o Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owned[o] = nil
}

// Leave says that somebody may not any more, and takes away those that he has. Twice does no harm.
func (t *Table[Owner]) Leave(o Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, addr := range t.owned[o] {
		delete(t.routes, addr)
	}
	delete(t.owned, o)
}

// Owner returns whose an address is, the zero value if it is nobody's, and whether others want it.
func (t *Table[Owner]) Owner(addr netip.AddrPort) (o Owner, contested bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r := t.routes[addr]; r != nil {
		return r.owner, len(r.rivals) > 0
	}
	return o, false
}

// Len is how many addresses are somebody's.
func (t *Table[Owner]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.routes)
}

// Claim says that somebody sends to an address: the check with this number, or something else if that is zero.
func (t *Table[Owner]) Claim(o Owner, addr netip.AddrPort, check peek.ID) {
	t.mu.RLock()
	r := t.routes[addr]
	his := r != nil && r.owner == o
	t.mu.RUnlock()
	if his {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, joined := t.owned[o]; !joined {
		return
	}
	switch r = t.routes[addr]; {
	case r == nil:
		t.give(addr, o)
	case r.owner != o && check != peek.ID{}:
		r.contest(o, check)
	}
}

// Answered says that a check was answered from an address, and returns whose that is now: his who sent the check, if he wants it.
func (t *Table[Owner]) Answered(addr netip.AddrPort, check peek.ID) (o Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.routes[addr]
	if r == nil {
		return o
	}
	i := slices.IndexFunc(r.rivals, func(v rival[Owner]) bool { return v.check == check })
	if i < 0 {
		return r.owner
	}
	winner := r.rivals[i].owner
	if _, joined := t.owned[winner]; !joined {
		return r.owner
	}
	t.owned[r.owner] = slices.DeleteFunc(t.owned[r.owner], func(a netip.AddrPort) bool { return a == addr })
	t.give(addr, winner)
	return winner
}

// give makes an address somebody's; the caller holds the lock.
func (t *Table[Owner]) give(addr netip.AddrPort, o Owner) {
	has := t.owned[o]
	if len(has) >= maxOwned {
		delete(t.routes, has[0])
		has = slices.Delete(has, 0, 1)
	}
	t.owned[o] = append(has, addr)
	t.routes[addr] = &route[Owner]{owner: o}
}

// contest notes a check of somebody who wants the address, in place of the one before.
func (r *route[Owner]) contest(o Owner, check peek.ID) {
	if i := slices.IndexFunc(r.rivals, func(v rival[Owner]) bool { return v.owner == o }); i >= 0 {
		r.rivals[i].check = check
		return
	}
	if len(r.rivals) >= maxRivals {
		r.rivals = slices.Delete(r.rivals, 0, 1)
	}
	r.rivals = append(r.rivals, rival[Owner]{o, check})
}
