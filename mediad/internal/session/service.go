// Package session starts, finds, kicks and ends the sessions of a node.
//
// Package httpapi calls Service, main runs it. Each session is one goroutine, Run of a publisher or a viewer in the packages of these
// names, which owns the session's state and ends it; they know nothing of each other nor of the Service.
package session

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/player"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/sdpfrag"
	"weever/mediad/internal/session/icesession"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/publisher"
	"weever/mediad/internal/session/viewer"
	"weever/mediad/internal/session/viewer/bandwidth"
	"weever/mediad/internal/session/viewer/outlet"
	"weever/mediad/internal/talk"
	"weever/shared/apierr"
	"weever/shared/auth"
	"weever/shared/room"
	"weever/shared/store"
	"weever/shared/tokens"
)

// debtPeriod is the time between attempts to pay debts.
const debtPeriod = time.Second

// Why the Service ends a session. They are causes of its context.
var (
	errDeleted  = errors.New("deleted over HTTP")
	errKicked   = errors.New("kicked")
	errShutdown = errors.New("the node is shutting down")
)

// What requests bring and get. See the types themselves.
type (
	// Entry is a POST whose names, token and offer are in order.
	Entry = life.Entry
	// Answer is the outcome of a POST.
	Answer = life.Answer
	// SubOptions are the query parameters of a POST to /sub.
	SubOptions = viewer.Options
	// PatchRequest is a PATCH of a session: its fragment and what it says of the state it is meant for.
	PatchRequest = icesession.Request
)

// Config is what a Service works with; all but the limits is required.
type Config struct {
	Owner        room.Owner // this process
	Store        *store.Store
	Roster       *roster.Roster
	Relay        *relay.Relay
	Writers      *fanout.Writers // run by the caller, as long as there are sessions
	Peers        *peer.Factory
	Talk         *talk.Hub
	ResumeWindow time.Duration // how long an away publisher's sections wait
	MaxSessions  int           // above: Unavailable; 0: no limit
	Pubs, Subs   life.Times    // told how long things take
	Admit        func() error  // asked at each POST that there would be room for; nil: always
	MaxPerClient int           // sessions of one address; above: TooMany; 0: no limit
	Log          *slog.Logger
}

// Service starts, finds and ends the sessions of this node. It is safe for concurrent use.
type Service struct {
	instance   string
	log        *slog.Logger
	stop       context.CancelCauseFunc // of all sessions
	sources    *player.Sources         // of all players
	publishers publisher.Config
	viewers    viewer.Config
	registry   *registry
	debts      debts
	load       func() error // Config.Admit
	tracks     *outlet.Book
	links      *bandwidth.Book
}

// New makes a Service. Sessions can be started before Run is called.
func New(cfg Config) *Service {
	base, stop := context.WithCancelCause(context.Background())
	s := &Service{
		instance: cfg.Owner.Instance, log: cfg.Log, stop: stop, load: cfg.Admit, tracks: new(outlet.Book), links: new(bandwidth.Book),
		sources:  player.NewSources(base, cfg.Store.CountSubscribers, cfg.Relay.Meter),
		registry: newRegistry(cfg.MaxSessions, cfg.MaxPerClient),
	}
	s.publishers = publisher.Config{
		Base: base, Owner: cfg.Owner, Store: cfg.Store, Roster: cfg.Roster, Relay: cfg.Relay, Writers: cfg.Writers, Peers: cfg.Peers,
		ResumeWindow: cfg.ResumeWindow, Times: cfg.Pubs, Owe: s.debts.owe, Log: cfg.Log,
	}
	s.viewers = viewer.Config{
		Base: base, Owner: cfg.Owner, Store: cfg.Store, Roster: cfg.Roster, Relay: cfg.Relay, Peers: cfg.Peers,
		Sources: s.sources, Talk: cfg.Talk, Times: cfg.Subs, Tracks: s.tracks, Links: s.links, Owe: s.debts.owe, Log: cfg.Log,
	}
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
			s.registry.forgetKicks()
			s.debts.pay(ctx)
		}
	}
	s.registry.close()
	s.Reconnect()
	s.stop(errShutdown)
	s.registry.wait()
	s.sources.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), life.StoreTimeout)
	defer cancel()
	s.debts.pay(last)
	return ctx.Err()
}

// admit lets a POST in, unless the node is shut, full or too busy. leave must be called when it has been answered.
func (s *Service) admit(client netip.Addr) (leave func(), err error) {
	if leave, err = s.registry.enter(client); err != nil || s.load == nil {
		return leave, err
	}
	if err := overloaded(s.load()); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// Publish answers an offer to publish. The session is pending until its first packet; if that does not come within 15 s, nothing
// has changed for anybody.
func (s *Service) Publish(ctx context.Context, e Entry) (answer *Answer, err error) {
	defer func() { s.registry.count.Joined(room.Pub, outcome(ctx, answer, err)) }()
	e.Began = time.Now()
	leave, err := s.admit(e.Client)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, made, err := publisher.New(ctx, s.publishers, e, newID(s.instance))
	if err != nil {
		return nil, err
	}
	if err := s.registry.start(running{Life: p.Life}, p.Run); err != nil {
		p.Discard(err)
		return nil, err
	}
	p.Clock.Answered()
	return made, nil
}

// Subscribe answers an offer to receive. With an m=application section it is a multistream session, which is sent the whole
// room by renegotiation; without, it is a WHEP player with at most one audio and one video, and NobodyLive if there is nothing
// to play.
func (s *Service) Subscribe(ctx context.Context, e Entry, opt SubOptions) (answer *Answer, err error) {
	defer func() { s.registry.count.Joined(room.Sub, outcome(ctx, answer, err)) }()
	e.Began = time.Now()
	leave, err := s.admit(e.Client)
	if err != nil {
		return nil, err
	}
	defer leave()
	v, made, err := viewer.New(ctx, s.viewers, e, opt, newID(s.instance))
	if err != nil {
		return nil, err
	}
	if err := s.registry.start(running{v.Life, v.Player()}, v.Run); err != nil {
		v.Discard(err)
		return nil, err
	}
	v.Clock.Answered()
	return made, nil
}

// End ends a session. On return its connection is closed and answers nothing any more (RFC 7675 section 5.2), and nobody finds the
// session; its record is gone soon after.
func (s *Service) End(role room.Role, rm room.Name, full room.FullID, session string) error {
	r, err := s.registry.find(role, rm, full, session)
	if err != nil {
		return err
	}
	r.End(errDeleted)
	_ = r.PC.Close()
	return nil
}

// Has reports whether the session runs here.
func (s *Service) Has(role room.Role, rm room.Name, full room.FullID, session string) bool {
	_, err := s.registry.find(role, rm, full, session)
	return err == nil
}

// OpenedWith reports whether the session runs here and began with the token of that hash.
func (s *Service) OpenedWith(role room.Role, rm room.Name, full room.FullID, session, hash string) bool {
	r, err := s.registry.find(role, rm, full, session)
	return err == nil && auth.Equal(r.ID.Token, hash)
}

// Patch applies a trickle-ICE fragment: candidates only, and the result is empty; or an ICE restart, even one that is asked for
// again, and the result is the fragment to answer with. A restart that is refused leaves the session as it was.
func (s *Service) Patch(ctx context.Context, role room.Role, rm room.Name, full room.FullID, session string, req PatchRequest) (sdpfrag.Fragment, error) {
	r, err := s.registry.find(role, rm, full, session)
	if err != nil {
		return sdpfrag.Fragment{}, err
	}
	return r.ICE.Patch(ctx, req)
}

// Player gives the player of a session that runs here under that very room and full id. Multistream sessions have none.
func (s *Service) Player(rm room.Name, full room.FullID, session string) (*player.Player, error) {
	r, err := s.registry.find(room.Sub, rm, full, session)
	if err != nil {
		return nil, err
	}
	if r.player == nil {
		return nil, apierr.New(apierr.NotFound, "this session has no events and layers over HTTP; it has its control channel")
	}
	return r.player, nil
}

// Reconnect tells every WHEP player of this node to start anew, because their sessions here will end.
func (s *Service) Reconnect() { s.registry.reconnect() }

// Kick ends the sessions that rec is about: those of the person, in that role and room, that are older than the kick, and those
// among them that are still being started.
func (s *Service) Kick(rec tokens.KickRecord) { s.registry.kick(rec) }

// Instance names this process; the ids of its sessions end in it.
func (s *Service) Instance() string { return s.instance }

// Counts gives the number of running sessions.
func (s *Service) Counts() (publishers, viewers int) {
	n := s.registry.counts()
	return n[room.Pub], n[room.Sub]
}
