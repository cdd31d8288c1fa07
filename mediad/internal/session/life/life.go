// Package life is what the sessions of a publisher and of a viewer have in common: whose it is, what ends it and how its client
// reaches it.
//
// Packages publisher and viewer build on a Life and own it; package session keeps the Lives of a node and may end each. A Life ends
// with its context.
package life

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/session/icesession"
	"weever/shared/auth"
	"weever/shared/room"
)

const (
	// ConnectTimeout runs from a session's POST until its transport is up.
	ConnectTimeout = 15 * time.Second
	// StoreTimeout is that of one thing asked of Redis.
	StoreTimeout = 3 * time.Second
)

// Why a session of either kind ends. They are causes of its context.
var (
	// ErrStopped says that the client sent STOP.
	ErrStopped = errors.New("the client stopped it")
	// ErrPeerClosed says that the client closed the connection or its control channel.
	ErrPeerClosed = errors.New("the client closed the connection")
	// ErrSilent says that nothing came from a client that was connected.
	ErrSilent = errors.New("the client fell silent")
	// ErrNoConnect says that the transport was not up within ConnectTimeout.
	ErrNoConnect = errors.New("the client did not connect in time")
)

// Entry is a POST whose names, token and offer are in order.
type Entry struct {
	Began  time.Time // when the POST came; the Service sets it
	Room   room.Name
	Full   room.FullID
	Offer  *peer.Offer
	Client netip.Addr // whose session it is for MaxPerClient; invalid: nobody's
	Token  string     // hash of the bearer that opened the door, for OpenedWith
	Grant  auth.Grant
	// Allowed checks the token again. It is asked after the incarnation was taken: a kick since the first check must not let the
	// session through.
	Allowed func(context.Context) error
}

// Answer is the outcome of a POST.
type Answer struct {
	SDP     string
	Session string // id, for the Location
	ETag    string // entity tag of the ICE session, without quotes
	Plain   bool   // a WHEP player's: it has a Player
}

// Identity says whose session it is. It does not change once the session runs.
type Identity struct {
	Role    room.Role
	Room    room.Name
	Full    room.FullID
	Session string
	Inc     int64
	Client  netip.Addr // invalid: not counted
	Token   string     // hash of the bearer of its POST
}

// Identity is that of the session that the entry leads to.
func (e *Entry) Identity(role room.Role, session string, inc int64) Identity {
	return Identity{role, e.Room, e.Full, session, inc, e.Client, e.Token}
}

// Debt is a removal that Redis has not taken when a session ended, to be repeated until it has: nil when done.
type Debt func(context.Context) error

// Life is one session, whichever its role. End, Again, Leave and Stay may be called by any goroutine, and so may Patch of ICE; what
// comes out of the channels is for the session's own.
type Life struct {
	ID  Identity
	Ctx context.Context // ends with the session; its cause says why
	PC  *webrtc.PeerConnection
	ICE *icesession.Session

	end    context.CancelCauseFunc
	look   chan struct{} // capacity 1
	opened <-chan *Channel
	inbox  chan Incoming

	leaveBy atomic.Pointer[time.Time] // nil: it may stay
	asked   chan struct{}             // capacity 1

	rechecks chan chan<- error
	over     chan struct{} // closed by Over

	Clock *Clock
	state atomic.Uint32
}

// New begins a life on a connection that has no answer yet, and takes its data channels. base ends all lives, with the cause that it
// has itself, clock runs since the POST. The caller closes the connection, after End.
func New(base context.Context, id Identity, pc *webrtc.PeerConnection, clock *Clock) *Life {
	l := &Life{ID: id, PC: pc, Clock: clock, look: make(chan struct{}, 1), inbox: make(chan Incoming, 8), asked: make(chan struct{}, 1)}
	l.rechecks, l.over = make(chan chan<- error), make(chan struct{})
	l.Ctx, l.end = context.WithCancelCause(base)
	l.ICE = icesession.New(l.Ctx, l.end, pc)
	l.opened = awaitChannel(l.Ctx, pc)
	return l
}

// End ends the session; the first cause counts. It does not wait for the end.
func (l *Life) End(cause error) { l.end(cause) }

// Again makes the session look at its connection; it never blocks.
func (l *Life) Again() {
	select {
	case l.look <- struct{}{}:
	default:
	}
}

// Look delivers what Again asks for; several calls may come as one.
func (l *Life) Look() <-chan struct{} { return l.look }

// Opened delivers the control channel, once, when the client has opened it.
func (l *Life) Opened() <-chan *Channel { return l.opened }

// Inbox delivers what Hear hears.
func (l *Life) Inbox() <-chan Incoming { return l.inbox }

// Hear puts the client's messages into Inbox until the channel or the session ends, and ends the session. It blocks as long. While
// nobody drains Inbox, SCTP makes the client wait.
func (l *Life) Hear(c *Channel) {
	_ = c.read(l.Ctx, l.inbox)
	l.End(ErrPeerClosed) // the client closed the channel or the association: an orderly end
}
