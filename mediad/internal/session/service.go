package session

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"weever/mediad/internal/peer"
	"weever/mediad/internal/player"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/events"
	"weever/shared/room"
	"weever/shared/store"
)

const (
	connectTimeout = 15 * time.Second // from a session's POST until its transport is up
	opTimeout      = 3 * time.Second  // of one thing asked of Redis
	debtPeriod     = time.Second
	kickMemory     = 2 * time.Minute // longer than any POST takes
)

// Why a session ends. They are causes of its context.
var (
	errStopped     = errors.New("the client stopped it")
	errDeleted     = errors.New("deleted over HTTP")
	errKicked      = errors.New("kicked")
	errShutdown    = errors.New("the node is shutting down")
	errOvertaken   = errors.New("a later session took its place")
	errPeerClosed  = errors.New("the client closed the connection")
	errSilent      = errors.New("the client fell silent")
	errNoConnect   = errors.New("the client did not connect in time")
	errNoAnswer    = errors.New("the client did not answer an SDP_OFFER in time")
	errFull        = errors.New("the node is full")
	errNothingLeft = errors.New("the publisher did not come back")
)

// Config is what a Service works with; all but Log's fields are required.
type Config struct {
	Owner        room.Owner // this process
	Store        *store.Store
	Roster       *roster.Roster
	Relay        *relay.Relay
	Peers        *peer.Factory
	ResumeWindow time.Duration // how long an away publisher's sections wait
	MaxSessions  int           // above: Unavailable; 0: no limit
	MaxPerClient int           // sessions of one address; above: TooMany; 0: no limit
	Log          *slog.Logger
}

// Service starts, finds and ends the sessions of this node. It is safe for concurrent use.
type Service struct {
	cfg     Config
	base    context.Context // of all sessions; ends in Run
	stop    context.CancelCauseFunc
	sources *player.Sources // of all players

	mu       sync.Mutex // guards what follows
	closing  bool
	sessions map[string]running
	clients  map[netip.Addr]int // how many of sessions each address has
	kicks    map[kicked]kick    // of the last minutes: they hold for sessions that were under way, too
	debts    []debt             // what Redis could not be told when a session ended
	alive    sync.WaitGroup     // one per session; added to under mu while not closing
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

// debt is a removal that has to be repeated until Redis has taken it.
type debt func(context.Context) error

// running is what the service needs of a session that runs. Both kinds are one.
type running interface {
	who() identity
	end(cause error)
	// patch hands a fragment to the session's own goroutine and returns the fragment to answer with; empty after mere trickle.
	patch(ctx context.Context, r PatchRequest) (sdpfrag.Fragment, error)
}

// identity says whose session it is.
type identity struct {
	role    room.Role
	room    room.Name
	full    room.FullID
	session string
	inc     int64
	client  netip.Addr // invalid: not counted
	token   string     // hash of the bearer of its POST
}

// Entry is a POST whose names, token and offer are in order.
type Entry struct {
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

func (e *Entry) identity(role room.Role, session string, inc int64) identity {
	return identity{role, e.Room, e.Full, session, inc, e.Client, e.Token}
}

// Answer is the outcome of a POST.
type Answer struct {
	SDP     string
	Session string // id, for the Location
	ETag    string // entity tag of the ICE session, without quotes
	Plain   bool   // a WHEP player's: it has a Player
}

// New makes a Service. Sessions can be started before Run is called.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, sessions: map[string]running{}, clients: map[netip.Addr]int{}, kicks: map[kicked]kick{}}
	s.base, s.stop = context.WithCancelCause(context.Background())
	s.sources = player.NewSources(s.base, cfg.Store.CountSubscribers, cfg.Relay.Meter)
	return s
}

// Run returns when ctx has ended and every session has removed its record and closed its connection. Until then it pays debts.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(debtPeriod)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.settle(ctx)
		}
	}
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.Reconnect()
	s.stop(errShutdown)
	s.alive.Wait()
	s.sources.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	s.settle(last)
	return ctx.Err()
}

// owe notes a debt. Their number is bounded by that of the sessions that end during an outage.
func (s *Service) owe(d debt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.debts = append(s.debts, d)
}

// settle pays debts until one cannot be paid, and forgets old kicks.
func (s *Service) settle(ctx context.Context) {
	s.mu.Lock()
	for who, k := range s.kicks {
		if time.Since(k.seen) > kickMemory {
			delete(s.kicks, who)
		}
	}
	s.mu.Unlock()
	for ctx.Err() == nil {
		s.mu.Lock()
		if len(s.debts) == 0 {
			s.mu.Unlock()
			return
		}
		d := s.debts[0]
		s.mu.Unlock()
		op, cancel := context.WithTimeout(ctx, opTimeout)
		err := d(op)
		cancel()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.debts = s.debts[1:] // only settle takes from it, and one at a time
		s.mu.Unlock()
	}
}

// removePublisher removes a record for a session that is over and tells the room.
func (s *Service) removePublisher(ctx context.Context, id identity) error {
	change, err := s.cfg.Store.RemovePublisher(ctx, id.room, id.full, id.inc)
	if errors.Is(err, store.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	rm, err := s.cfg.Roster.Open(ctx, id.room)
	if err != nil {
		return nil //nolint:nilerr // the record is gone; the nodes will find that out for themselves
	}
	defer rm.Close()
	return rm.Tell(events.Left, change)
}

// Instance names this process; the ids of its sessions end in it.
func (s *Service) Instance() string { return s.cfg.Owner.Instance }

// Ready is nil while new sessions are taken, else says why not.
func (s *Service) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return errShutdown
	case s.cfg.MaxSessions > 0 && len(s.sessions) >= s.cfg.MaxSessions:
		return errFull
	}
	return nil
}

// Counts gives the number of running sessions.
func (s *Service) Counts() (publishers, viewers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.sessions {
		if r.who().role == room.Pub {
			publishers++
		} else {
			viewers++
		}
	}
	return publishers, viewers
}

// admit reserves nothing; it refuses early what start would refuse later, before any work is done.
func (s *Service) admit(client netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitLocked(client)
}

func (s *Service) admitLocked(client netip.Addr) error {
	if s.closing {
		return apierr.New(apierr.Unavailable, "this node is shutting down; try again, another will answer").After(time.Second)
	}
	if s.cfg.MaxSessions > 0 && len(s.sessions) >= s.cfg.MaxSessions {
		return apierr.New(apierr.Unavailable, "this node is full; try again, another may answer").After(time.Second)
	}
	if s.cfg.MaxPerClient > 0 && client.IsValid() && s.clients[client] >= s.cfg.MaxPerClient {
		return apierr.New(apierr.TooMany, "this address has %d sessions here already; end one first", s.clients[client]).After(time.Second)
	}
	return nil
}

// start registers r and runs it in its own goroutine until it returns.
func (s *Service) start(r running, run func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := r.who()
	if err := s.admitLocked(who.client); err != nil {
		return err
	}
	if s.kicks[kicked{who.role, who.room, who.full.ID()}].inc > who.inc {
		return apierr.New(apierr.BadToken, "the token was revoked")
	}
	id := who.session
	s.sessions[id] = r
	s.clients[who.client]++
	s.alive.Go(func() {
		run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sessions, id)
		if s.clients[who.client]--; s.clients[who.client] == 0 {
			delete(s.clients, who.client)
		}
	})
	return nil
}

// find gives the session if it runs here under that very role, room and full id.
func (s *Service) find(role room.Role, rm room.Name, full room.FullID, session string) (running, error) {
	s.mu.Lock()
	r := s.sessions[session]
	s.mu.Unlock()
	if r != nil {
		if id := r.who(); id.role == role && id.room == rm && id.full == full {
			return r, nil
		}
	}
	return nil, apierr.New(apierr.NoSession, "no such session; it has ended, so start again with a POST")
}

// End ends a session: its record is gone and its connection closed soon after the return.
func (s *Service) End(role room.Role, rm room.Name, full room.FullID, session string) error {
	r, err := s.find(role, rm, full, session)
	if err != nil {
		return err
	}
	r.end(errDeleted)
	return nil
}

// Has reports whether the session runs here.
func (s *Service) Has(role room.Role, rm room.Name, full room.FullID, session string) bool {
	_, err := s.find(role, rm, full, session)
	return err == nil
}

// OpenedWith reports whether the session runs here and began with the token of that hash.
func (s *Service) OpenedWith(role room.Role, rm room.Name, full room.FullID, session, hash string) bool {
	r, err := s.find(role, rm, full, session)
	return err == nil && auth.Equal(r.who().token, hash)
}

// Patch applies a trickle-ICE fragment: candidates only, and the result is empty; or an ICE restart, and the result is the
// fragment to answer with. A restart that is refused leaves the session as it was.
func (s *Service) Patch(ctx context.Context, role room.Role, rm room.Name, full room.FullID, session string, req PatchRequest) (sdpfrag.Fragment, error) {
	r, err := s.find(role, rm, full, session)
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	return r.patch(ctx, req)
}

// Kick ends the sessions that rec is about: those of the person, in that role and room, that are older than the kick, and those
// among them that are still being started.
func (s *Service) Kick(rec store.KickRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := kicked{rec.Role, rec.Room, rec.ID}
	s.kicks[who] = kick{max(rec.Inc, s.kicks[who].inc), time.Now()}
	for _, r := range s.sessions {
		id := r.who()
		if id.role == rec.Role && id.room == rec.Room && id.full.ID() == rec.ID && id.inc < rec.Inc {
			r.end(errKicked)
		}
	}
}
