package udpio

import (
	"net"
	"time"

	"weever/mediad/internal/udpio/kernel"
	"weever/mediad/internal/udpio/peek"
	"weever/mediad/internal/udpio/routes"
)

// Limits of what waits for one connection, in packets. pion reads as soon as it can; what piles up has come late.
const (
	maxQueued      = 512
	maxQueuedSTUN  = maxQueued + 64 // media cannot keep out what says that it may still be sent
	maxQueuedAlien = 64             // checks from addresses that are not the session's yet: anybody can send them
)

// maxPacket is the longest packet that pion has room for, in bytes.
const maxPacket = 8192

// deafAfter is how often pion is told that a peer is there whose packets it does not get. Package follow takes a path for deaf after 400 ms.
const deafAfter = 200 * time.Millisecond

// inlet is a socket and the goroutine that reads it: it sorts what has arrived and hands it over, connection by connection.
type inlet struct {
	mux    *Mux
	socket *kernel.Socket
	index  int
	addr   *net.UDPAddr // the socket's
	routes *routes.Table[*conn]

	// Of its goroutine, for the batch at hand.
	now    time.Time
	served []*conn // that get something
	taking []*conn // whose Taker has got something
	drops  [numDrops]uint64
}

// receive is called with what has arrived; the packets are borrowed.
func (in *inlet) receive(packets []kernel.Packet) {
	in.now = time.Now()
	for i := range packets {
		in.sort(&packets[i])
	}
	for _, c := range in.served {
		c.box.Deliver()
	}
	clear(in.served)
	in.served = in.served[:0]
	for _, c := range in.taking {
		c.taker.Taken()
		c.taker = nil
	}
	clear(in.taking)
	in.taking = in.taking[:0]
	for d, n := range in.drops {
		if n > 0 {
			in.mux.drops[d].Add(n)
			in.drops[d] = 0
		}
	}
}

// sort finds out whose a packet is: a check is for the user whom it names, everything else for the owner of the address that it comes
// from.
func (in *inlet) sort(p *kernel.Packet) {
	if len(p.Data) > maxPacket {
		in.drops[Oversized]++
		return
	}
	owner, contested := in.routes.Owner(p.From)
	switch {
	case !peek.IsSTUN(p.Data):
		in.media(owner, p)
	case peek.Type(p.Data) == peek.BindingRequest:
		c := in.mux.find(peek.Ufrag(p.Data), in.index)
		limit := int32(maxQueuedSTUN)
		if c != owner {
			limit = maxQueuedAlien
		}
		in.put(c, p, limit, UnknownCheck)
	default:
		if contested && peek.Type(p.Data) == peek.BindingSuccess {
			owner = in.routes.Answered(p.From, peek.IDOf(p.Data))
		}
		in.put(owner, p, maxQueuedSTUN, UnknownCheck)
	}
}

// media hands on what is not STUN: DTLS, RTP and RTCP.
func (in *inlet) media(c *conn, p *kernel.Packet) {
	if c == nil {
		in.drops[UnknownSource]++
		return
	}
	if c.session.secured.Load() && peek.IsDTLS(p.Data) && peek.InTheClear(p.Data) {
		in.drops[Unprotected]++
		return
	}
	if c.heard != p.From || c.heardAt != in.now { // once per batch
		c.heard, c.heardAt = p.From, in.now
		c.session.sources.HeardMedia(p.From, in.now)
	}
	take := c.path.wants(p, in.socket)
	if take == nil {
		in.put(c, p, maxQueued, UnknownSource)
		return
	}
	if c.taker != take {
		if c.taker == nil {
			in.taking = append(in.taking, c)
		} else {
			c.taker.Taken()
		}
		c.taker = take
	}
	take.Take(p.Data)
	if in.now.Sub(c.toldAt) >= deafAfter {
		c.toldAt = in.now
		words := peek.Indication()
		in.put(c, &kernel.Packet{Data: words[:], From: p.From}, maxQueued, UnknownSource)
	}
}

// put gives a packet to a connection; if that is nil, it is dropped for this reason.
func (in *inlet) put(c *conn, p *kernel.Packet, limit int32, unknown Drop) {
	if c == nil {
		in.drops[unknown]++
		return
	}
	ok, first := c.box.Put(p.Data, p.From, limit)
	if !ok {
		in.drops[QueueFull]++
	}
	if first {
		in.served = append(in.served, c)
	}
}
