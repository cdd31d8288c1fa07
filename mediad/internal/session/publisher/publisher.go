// Package publisher runs the life of one publisher, from its POST to its end.
//
// Package session calls New for each POST and then Run, in a goroutine which owns the session's state and ends it. The rules are a
// table in lifecycle.go that knows no I/O; media goes through package intake.
package publisher

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/fanout"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/publisher/intake"
	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/store"
)

var (
	// ErrOvertaken is the cause of an end.
	ErrOvertaken = errors.New("a later session took its place")
	// errUnsaved: Redis could not be asked.
	errUnsaved = errors.New("the publisher's state is not stored")
)

// Timing of a publisher's session.
const (
	restartTime = 3 * time.Second // for an ICE restart to bring a path; without one the publisher is silent
	mutedGrace  = time.Second     // a client whose control channel is open but who sends nothing is taken as muted after it
	retryPeriod = time.Second     // between attempts to tell Redis
	lingerTime  = time.Second     // for which the media of one who was overtaken is still taken
)

// Config is what all publishers of a node work with; all of it is required.
type Config struct {
	Base         context.Context //nolint:containedctx // of all sessions: they end with it, and of its cause
	Owner        room.Owner      // this process
	Store        *store.Store
	Roster       *roster.Roster
	Relay        *relay.Relay
	Writers      *fanout.Writers
	Peers        *peer.Factory
	ResumeWindow time.Duration // how long one who is away may come back
	Times        life.Times
	Owe          func(life.Debt) // takes what Redis could not be told when a session ended; it must not block
	Log          *slog.Logger
}

// Publisher is one POST to /pub. New makes it, Run owns it and ends it.
type Publisher struct {
	*life.Life
	cfg     Config
	room    *roster.Room
	log     *slog.Logger
	media   *intake.Intake
	readers sync.WaitGroup

	// Owned by Run.
	stage   stage
	joined  time.Time
	ctl     *life.Channel
	unsaved bool // Redis does not know the present state
}

// New answers an offer to publish; session is the id to be. Then Run has to be called, or Discard. The session is pending until its
// first packet; if that does not come in time, nothing has changed for anybody. After an error nothing is left of it.
func New(ctx context.Context, cfg Config, e life.Entry, session string) (*Publisher, *life.Answer, error) {
	inc, err := cfg.Store.NextInc(ctx, e.Room)
	if err != nil {
		return nil, nil, err
	}
	if err := e.Allowed(ctx); err != nil {
		return nil, nil, err
	}
	pc, err := cfg.Peers.Accept(e.Offer)
	if err != nil {
		return nil, nil, err
	}
	p := &Publisher{
		Life: life.New(cfg.Base, e.Identity(room.Pub, session, inc), pc.PeerConnection, life.NewClock(e.Began, cfg.Times)), cfg: cfg,
		log: cfg.Log.With("room", e.Room.String(), "peer", e.Full.String(), "inc", inc),
	}
	p.media = intake.New(intake.Config{
		Key: relay.Key{Room: e.Room, Publisher: e.Full, Inc: inc}, PC: pc.PeerConnection, Relay: cfg.Relay, Writers: cfg.Writers, Log: p.log,
	})
	if pc.In != nil {
		pc.In.Deliver(p.media)
	} else {
		p.PC.OnTrack(p.media.Accept)
	}
	answer, err := p.answer(ctx, e.Offer)
	if err != nil {
		p.Discard(err)
		return nil, nil, err
	}
	return p, answer, nil
}

// answer wires the connection and writes the answer.
func (p *Publisher) answer(ctx context.Context, offer *peer.Offer) (*life.Answer, error) {
	p.PC.OnConnectionStateChange(func(webrtc.PeerConnectionState) { p.Again() })
	p.PC.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) { p.Again() })
	sdp, err := peer.Answer(ctx, p.PC)
	if err != nil {
		return nil, err
	}
	if err := p.media.Declare(offer.Sections, sdp); err != nil {
		return nil, err
	}
	if p.room, err = p.cfg.Roster.Open(ctx, p.ID.Room); err != nil {
		return nil, err
	}
	return &life.Answer{SDP: sdp, Session: p.ID.Session, ETag: p.ICE.Settle()}, nil
}

// Discard ends a session that will not Run.
func (p *Publisher) Discard(cause error) {
	p.End(cause)
	p.release()
}

// release closes what the session holds.
func (p *Publisher) release() {
	p.media.Close()
	_ = p.PC.GracefulClose()
	if p.room != nil {
		p.room.Close()
	}
	p.media.Wait()
	p.readers.Wait()
}

// Run is the session. It returns when the session has left: record removed, connection closed, every goroutine ended.
func (p *Publisher) Run() {
	defer p.release()
	changed, stopWatching := p.room.Watch()
	defer stopWatching()
	deadline := time.NewTimer(life.ConnectTimeout) // of pending, later of away
	defer deadline.Stop()
	restarted := time.NewTimer(restartTime)
	restarted.Stop()
	defer restarted.Stop()
	var muted <-chan time.Time
	first := p.media.First()
	for p.stage != left {
		select {
		case <-p.Ctx.Done():
			_ = p.PC.Close() // before the record, for Redis may be slow
			p.happens(ended, deadline)
		case <-p.Look():
			p.examine(deadline)
		case <-p.media.Changed():
			p.examine(deadline)
		case <-first:
			first = nil
			p.happens(started, deadline)
		case <-muted:
			p.happens(started, deadline)
		case <-deadline.C:
			p.End(map[bool]error{true: life.ErrNoConnect, false: life.ErrSilent}[p.stage == pending])
			p.happens(expired, deadline)
		case <-changed:
			p.compare(deadline)
		case done := <-p.Rechecks():
			done <- p.recheck(deadline)
		case c := <-p.Opened():
			p.ctl = c
			muted = time.After(mutedGrace)
			p.readers.Go(func() { p.Hear(c) })
			p.PassOn(c)
		case <-p.Asked():
			p.PassOn(p.ctl)
		case in := <-p.Inbox():
			p.obey(in)
		case r := <-p.ICE.Restarts():
			if p.reached() { // restarts that follow one another without a path between are one silence
				restarted.Reset(restartTime)
			}
			r.Serve(p.ICE.ReplayOffer)
		case <-restarted.C:
			// While pion looks for a path it reports no silence, for up to 23 s.
			if !p.reached() {
				p.happens(silent, deadline)
			}
		}
	}
	p.log.Info("publisher left", "why", context.Cause(p.Ctx))
	p.End(life.ErrStopped) // in case nobody has: it ends the readers
	if errors.Is(context.Cause(p.Ctx), ErrOvertaken) {
		p.linger()
	}
}

// linger lets what still comes flow on for a moment: those who watch are shown it until the key frame of the session that took the
// place has reached them.
func (p *Publisher) linger() {
	enough := time.NewTimer(lingerTime)
	defer enough.Stop()
	for p.reached() {
		select {
		case <-p.Look():
		case done := <-p.Rechecks():
			p.media.Close()
			done <- nil
			return
		case <-enough.C:
			return
		case <-p.cfg.Base.Done():
			return
		}
	}
}

// reached reports whether there is a path, as far as pion knows.
func (p *Publisher) reached() bool {
	s := p.PC.ICEConnectionState()
	return s == webrtc.ICEConnectionStateConnected || s == webrtc.ICEConnectionStateCompleted
}

// examine turns the connection's state into happenings.
func (p *Publisher) examine(deadline *time.Timer) {
	switch p.PC.ConnectionState() {
	case webrtc.PeerConnectionStateConnected:
		p.Clock.Connected()
	case webrtc.PeerConnectionStateClosed:
		p.End(life.ErrPeerClosed)
		p.happens(ended, deadline)
		return
	case webrtc.PeerConnectionStateFailed:
		if p.stage == pending {
			p.End(life.ErrNoConnect)
			p.happens(expired, deadline)
			return
		}
	}
	switch p.PC.ICEConnectionState() {
	case webrtc.ICEConnectionStateDisconnected, webrtc.ICEConnectionStateFailed:
		p.happens(silent, deadline)
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		p.happens(heard, deadline)
	}
	if p.stage != pending && p.stage != left {
		p.compare(deadline)
	}
	if p.stage == live && p.media.Dirty() || p.unsaved && (p.stage == live || p.stage == away) {
		p.record(p.state())
	}
}

// state is the stage as a record has it.
func (p *Publisher) state() room.State {
	if p.stage == away {
		return room.Away
	}
	return room.Live
}

// compare looks whether the room still knows this session as the one.
func (p *Publisher) compare(deadline *time.Timer) {
	if p.stage == pending || p.stage == left {
		return
	}
	view := p.room.View()
	known, ok := view.Publishers[p.ID.Full]
	_, lost := view.Unconfirmed[p.ID.Full]
	switch {
	case ok && known.Inc > p.ID.Inc, !ok && p.stage == away:
		p.giveWay(deadline)
	case !ok || lost:
		if !p.restore() {
			p.giveWay(deadline)
		}
	case known.State != p.state() && !p.unsaved: // another node took this one for dead
		p.record(p.state())
	}
}

// giveWay ends the session because its place is another's.
func (p *Publisher) giveWay(deadline *time.Timer) {
	p.End(ErrOvertaken)
	p.happens(overtaken, deadline)
}

// recheck asks Redis whether the place is still this session's, and restores the record if so. One who is away is not: others count the
// time, too, and may have announced the end of it.
func (p *Publisher) recheck(deadline *time.Timer) error {
	switch {
	case p.stage == live && p.restore(), p.stage == away && p.record(room.Away):
		if p.unsaved {
			return errUnsaved
		}
	case p.stage == live || p.stage == away:
		p.media.Close() // it may be long ago: nobody waits for what still comes
		p.giveWay(deadline)
	}
	return nil
}

// happens advances the life of the session and does what that asks for.
func (p *Publisher) happens(h happening, deadline *time.Timer) {
	next, do := advance(p.stage, h)
	if next == p.stage {
		return
	}
	p.log.Debug("publisher", "from", p.stage.String(), "to", next.String())
	switch do {
	case goLive:
		if !p.claim() {
			next = left
		}
		deadline.Stop()
	case markAway:
		p.record(room.Away)
		deadline.Reset(p.cfg.ResumeWindow)
	case markLive:
		deadline.Stop()
		p.record(room.Live)
	case remove:
		p.remove()
	case nothing:
	}
	p.stage = next
	p.Reach(next.state())
}

// obey carries out a control message of the publisher.
func (p *Publisher) obey(in life.Incoming) {
	var reply control.Message = control.OK{}
	switch m := in.Msg.(type) {
	case nil:
		reply = in.Bad.Reply()
	case control.Stop:
		p.End(life.ErrStopped)
		return
	case control.Ping:
		reply = control.Pong(m)
	case control.SDPOffer:
		answer, err := p.renegotiate(m.SDP)
		if err != nil {
			p.log.Info("publisher's offer refused", "err", err)
			reply = control.Err{Word: control.WordSDPOffer, Reason: apierr.From(err).Detail}
			break
		}
		reply = control.SDPAnswer{SDP: answer}
	}
	if err := p.ctl.Send(reply); err != nil {
		p.End(err)
	}
}
