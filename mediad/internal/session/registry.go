package session

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"weever/mediad/internal/player"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/turnstile"
	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/tokens"
)

const kickMemory = 2 * time.Minute // longer than any POST takes

var (
	errFull     = errors.New("the node is full")
	errDraining = errors.New("draining")
)

// registry is the sessions that run here, and who may join them. It is safe for concurrent use.
type registry struct {
	max          int // sessions; 0: no limit
	maxPerClient int // of one address; 0: no limit

	gone  chan struct{} // capacity 1: a session has ended
	count turnstile.Count

	mu       sync.Mutex // guards what follows
	closing  bool
	draining bool
	sessions map[string]running
	clients  map[netip.Addr]int // how many of sessions each address has
	kicks    map[kicked]kick    // of the last minutes: they hold for sessions that were under way, too
	alive    sync.WaitGroup     // one per session and POST; added to under mu while not closing
}

// running is one session; player is nil when it has a control channel.
type running struct {
	*life.Life
	player *player.Player
}

// kicked is whom a kick is about, kick what it says.
type kicked struct {
	role room.Role
	room room.Name
	id   room.ID
}

type kick struct {
	inc  int64 // sessions below it end
	seen time.Time
}

func newRegistry(maxSessions, maxPerClient int) *registry {
	return &registry{
		max: maxSessions, maxPerClient: maxPerClient, gone: make(chan struct{}, 1),
		sessions: map[string]running{}, clients: map[netip.Addr]int{}, kicks: map[kicked]kick{},
	}
}

// enter is the begin of a POST, leave its end: what it may have written is then in the hands of its session, or taken back. It reserves
// nothing; it refuses early what start would refuse later, before any work is done.
func (g *registry) enter(client netip.Addr) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.admitLocked(client); err != nil {
		return nil, err
	}
	g.alive.Add(1)
	return g.alive.Done, nil
}

func (g *registry) admitLocked(client netip.Addr) error {
	if g.closing {
		return apierr.Wrap(apierr.Unavailable, errShutdown, "this node is shutting down; try again, another will answer").After(time.Second)
	}
	if g.draining {
		return apierr.Wrap(apierr.Unavailable, errDraining, "this node is being emptied; try again, another will answer").After(time.Second)
	}
	if g.max > 0 && len(g.sessions) >= g.max {
		return apierr.Wrap(apierr.Unavailable, errFull, "this node has the %d sessions that it may have; try again, another may answer", g.max).After(time.Second)
	}
	if g.maxPerClient > 0 && client.IsValid() && g.clients[client] >= g.maxPerClient {
		return apierr.New(apierr.TooMany, "this address has %d sessions here already; end one first", g.clients[client]).After(time.Second)
	}
	return nil
}

// start registers r and runs it in its own goroutine until it returns.
func (g *registry) start(r running, run func()) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := r.ID
	if err := g.admitLocked(who.Client); err != nil {
		return err
	}
	if g.kicks[kicked{who.Role, who.Room, who.Full.ID()}].inc > who.Inc {
		return apierr.Wrap(apierr.BadToken, errKicked, "the token was revoked")
	}
	g.sessions[who.Session] = r
	g.clients[who.Client]++
	g.alive.Go(func() {
		run()
		r.Over()
		g.count.Ended(who.Role, ended(context.Cause(r.Ctx)))
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.sessions, who.Session)
		if g.clients[who.Client]--; g.clients[who.Client] == 0 {
			delete(g.clients, who.Client)
		}
		select {
		case g.gone <- struct{}{}:
		default:
		}
	})
	return nil
}

// close lets no more sessions start.
func (g *registry) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closing = true
}

// wait returns when no session runs any more, nor a POST that could begin one; close must have been called.
func (g *registry) wait() { g.alive.Wait() }

// find gives the session if it runs here, and is not about to end, under that very role, room and full id.
func (g *registry) find(role room.Role, rm room.Name, full room.FullID, session string) (running, error) {
	g.mu.Lock()
	r, ok := g.sessions[session]
	g.mu.Unlock()
	if ok && r.ID.Role == role && r.ID.Room == rm && r.ID.Full == full && r.Ctx.Err() == nil {
		return r, nil
	}
	return running{}, apierr.New(apierr.NoSession, "no such session; it has ended, so start again with a POST")
}

// counts gives the number of sessions by role.
func (g *registry) counts() map[room.Role]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := map[room.Role]int{}
	for _, r := range g.sessions {
		n[r.ID.Role]++
	}
	return n
}

// kick ends the sessions that rec is about, and will refuse those among them that are still being started.
func (g *registry) kick(rec tokens.KickRecord) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := kicked{rec.Role, rec.Room, rec.ID}
	g.kicks[who] = kick{max(rec.Inc, g.kicks[who].inc), time.Now()}
	for _, r := range g.sessions {
		if r.ID.Role == rec.Role && r.ID.Room == rec.Room && r.ID.Full.ID() == rec.ID && r.ID.Inc < rec.Inc {
			r.End(errKicked)
		}
	}
}

// forgetKicks drops those that no POST under way can be older than.
func (g *registry) forgetKicks() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for who, k := range g.kicks {
		if time.Since(k.seen) > kickMemory {
			delete(g.kicks, who)
		}
	}
}

// reconnect tells every WHEP player to start anew.
func (g *registry) reconnect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.sessions {
		if r.player != nil {
			r.player.Reconnect()
		}
	}
}
