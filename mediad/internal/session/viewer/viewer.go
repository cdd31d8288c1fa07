// Package viewer runs the life of one viewer, from its POST to its end.
//
// Package session calls New for each POST and then Run, in a goroutine which owns the session's state and ends it. The rules are in
// packages of their own that know no I/O: wishes (what to send), negotiation (when to say so) and announce (what else to tell).
package viewer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/player"
	"weever/mediad/internal/relay"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/session/life"
	"weever/mediad/internal/session/viewer/alone"
	"weever/mediad/internal/session/viewer/announce"
	"weever/mediad/internal/session/viewer/bandwidth"
	"weever/mediad/internal/session/viewer/negotiation"
	"weever/mediad/internal/session/viewer/outlet"
	"weever/mediad/internal/session/viewer/presence"
	"weever/mediad/internal/session/viewer/sections"
	"weever/mediad/internal/session/viewer/speakers"
	"weever/mediad/internal/session/viewer/wishes"
	"weever/mediad/internal/talk"
	"weever/shared/apierr"
	"weever/shared/room"
	"weever/shared/store"
)

// Timing of a viewer's session.
const (
	answerTimeout = 10 * time.Second // for an SDP_OFFER
	refreshPeriod = 30 * time.Second // between writes of the record, which an emptied Redis loses
)

// Causes of an end.
var (
	// ErrNoAnswer says that the client does not negotiate.
	ErrNoAnswer = errors.New("the client did not answer an SDP_OFFER in time")
	// ErrNothingLeft says that a WHEP player has nobody to play any more.
	ErrNothingLeft = errors.New("the publisher did not come back")
)

// Config is what all viewers of a node work with; all of it is required.
type Config struct {
	Base    context.Context //nolint:containedctx // of all sessions: they end with it, and of its cause
	Owner   room.Owner      // this process
	Store   *store.Store
	Roster  *roster.Roster
	Relay   *relay.Relay
	Peers   *peer.Factory
	Sources *player.Sources // of all players
	Talk    *talk.Hub
	Times   life.Times
	Tracks  *outlet.Book    // of all viewers
	Links   *bandwidth.Book // likewise
	Owe     func(life.Debt) // takes what Redis could not be told when a session ended; it must not block
	Log     *slog.Logger
}

// Options are the query parameters of a POST to /sub.
type Options struct {
	Manual bool   // start with nothing subscribed
	Pub    string // for a WHEP player: whom to play; empty: the oldest live publisher
}

// Viewer is one POST to /sub. New makes it, Run owns it and ends it.
type Viewer struct {
	*life.Life
	cfg     Config
	room    *roster.Room
	log     *slog.Logger
	record  *presence.Record
	readers sync.WaitGroup
	player  *player.Player // of a WHEP player; nil: the viewer has a control channel
	seat    *talk.Seat     // nil: it is a WHEP player

	// Owned by Run (and by New before it).
	wishes    *wishes.Wishes
	sections  *sections.List
	legs      map[wishes.Track]*leg
	outlets   *outlet.Outlets
	share     *bandwidth.Sharing
	doomed    []*down.Track // their sections are parked by the next round
	told      *announce.Ledger
	heard     speakers.Board
	nego      negotiation.State
	ctl       *life.Channel
	answerBy  *time.Timer // runs while an offer is unanswered
	alone     *alone.Wait // of a WHEP player
	connected bool
	settled   bool // a WHEP player that has its answer: sections and legs stay as they are
}

// New answers an offer to receive and writes the subscriber's record; session is the id to be. Then Run has to be called, or Discard.
// With an m=application section it is a multistream session, which is sent the whole room by renegotiation; without, it is a WHEP
// player with at most one audio and one video, and NobodyLive if there is nothing to play. After an error nothing is left of it.
func New(ctx context.Context, cfg Config, e life.Entry, opt Options, session string) (*Viewer, *life.Answer, error) {
	rm, err := cfg.Roster.Open(ctx, e.Room)
	if err != nil {
		return nil, nil, err
	}
	pc, err := cfg.Peers.Accept(e.Offer)
	if err != nil {
		rm.Close()
		return nil, nil, err
	}
	v := &Viewer{
		Life: life.New(cfg.Base, e.Identity(room.Sub, session, 0), pc.PeerConnection, life.NewClock(e.Began, cfg.Times)), cfg: cfg, room: rm,
		log:      cfg.Log.With("room", e.Room.String(), "peer", e.Full.String()),
		wishes:   wishes.New(wishes.Config{Self: e.Full.ID(), Manual: opt.Manual, Player: !e.Offer.Data, Pub: opt.Pub}),
		sections: sections.New(pc.PeerConnection, e.Offer.SDP, !e.Offer.Data),
		legs:     map[wishes.Track]*leg{},
		told:     announce.New(), alone: alone.New(),
	}
	v.outlets = outlet.New(outlet.Config{Book: cfg.Tracks, Clock: v.Clock, WriteRTCP: pc.WriteRTCP, Out: pc.Out})
	v.share = v.newSharing(pc.Out)
	v.record = presence.New(presence.Config{Store: cfg.Store, Owner: cfg.Owner, Owe: cfg.Owe, Log: v.log}, v.ID)
	if e.Offer.Data {
		v.seat = cfg.Talk.Join(e.Room, e.Full, e.Grant.Say)
	} else {
		v.player = newPlayer(cfg.Sources, e, opt)
	}
	answer, err := v.answer(ctx, e.Offer)
	if err != nil {
		v.End(err)
		v.release()
		return nil, nil, err
	}
	if v.ID.Inc, err = v.record.Enter(ctx, e.Allowed); err != nil {
		v.Discard(err)
		return nil, nil, err
	}
	return v, answer, nil
}

// answer puts what is live on the offered sections and writes the answer.
func (v *Viewer) answer(ctx context.Context, offer *peer.Offer) (*life.Answer, error) {
	v.PC.OnConnectionStateChange(func(webrtc.PeerConnectionState) { v.Again() })
	pubs := v.compare()
	if len(v.legs) == 0 {
		v.Clock.NobodyThere()
	}
	if !offer.Data && len(v.legs) == 0 {
		if v.takesNone(pubs) {
			return nil, apierr.New(apierr.Unacceptable, "the publisher sends no codec that this offer takes")
		}
		return nil, apierr.New(apierr.NobodyLive, "nobody is live in this room; try again when somebody publishes").After(2 * time.Second)
	}
	if err := v.placeOffered(); err != nil {
		return nil, err
	}
	sdp, err := peer.Answer(ctx, v.PC)
	if err != nil {
		return nil, err
	}
	if offer.Data {
		if sdp, err = peer.Outgoing(sdp); err != nil {
			return nil, err
		}
	}
	v.sections.Completed()
	v.settled = !offer.Data
	v.show(pubs) // before the player can ask
	return &life.Answer{SDP: sdp, Session: v.ID.Session, ETag: v.ICE.Settle(), Plain: !offer.Data}, nil
}

// Player is what a WHEP player's requests go to; nil: the viewer has a control channel.
func (v *Viewer) Player() *player.Player { return v.player }

// Run is the session. It returns when the record is removed, the connection closed and every goroutine ended.
func (v *Viewer) Run() {
	defer v.record.Remove(v.Ctx) // last: Redis may be slow, and the client is not to be served any longer
	defer v.release()
	changed, stopWatching := v.room.Watch()
	defer stopWatching()
	connect := time.NewTimer(life.ConnectTimeout)
	defer connect.Stop()
	v.answerBy = time.NewTimer(time.Hour)
	v.answerBy.Stop() // until there is an offer
	defer v.answerBy.Stop()
	refresh := time.NewTicker(refreshPeriod)
	defer refresh.Stop()
	turns := time.NewTimer(speakers.Wait(time.Now()))
	defer turns.Stop()
	v.log.Info("viewer joined")
	for v.Ctx.Err() == nil {
		said, drained := v.talkNews()
		select {
		case <-v.Ctx.Done():
		case <-v.Look():
			v.examine()
		case <-connect.C:
			if !v.connected {
				v.End(life.ErrNoConnect)
			}
		case <-changed:
			v.compare()
			v.turn(v.nego.Next())
		case <-v.news():
			v.compare()
		case now := <-v.share.Ticks():
			if v.share.Tick(now) {
				v.compare()
				v.turn(v.nego.Next())
			}
		case c := <-v.Opened():
			v.open(c)
		case <-v.Asked():
			v.PassOn(v.ctl)
		case in := <-v.Inbox():
			v.obey(in)
		case <-v.answerBy.C:
			v.turn(v.nego.Overdue())
		case <-v.alone.Over():
			v.End(ErrNothingLeft)
		case done := <-v.Rechecks():
			v.record.Refresh(v.Ctx)
			done <- nil
		case <-refresh.C:
			v.record.Refresh(v.Ctx)
		case m := <-said:
			v.send(m)
		case <-drained:
		case <-turns.C:
			turns.Reset(speakers.Wait(time.Now()))
			v.tellSpeakers()
		case r := <-v.ICE.Restarts():
			r.Serve(v.restartOffer)
			v.turn(v.nego.Next())
		}
	}
	v.log.Info("viewer left", "why", context.Cause(v.Ctx))
}

// examine ends the session when its connection has.
func (v *Viewer) examine() {
	switch v.PC.ConnectionState() {
	case webrtc.PeerConnectionStateConnected:
		if !v.connected {
			v.connected = true
			v.Reach(life.Live)
			v.Clock.Connected()
			for _, l := range v.legs {
				l.down.Start()
			}
		}
	case webrtc.PeerConnectionStateClosed:
		v.End(life.ErrPeerClosed)
	case webrtc.PeerConnectionStateFailed:
		v.End(life.ErrSilent)
	}
}

// open takes the control channel into use: one PUB_JOIN per publisher already live, then whatever has changed since the answer.
func (v *Viewer) open(c *life.Channel) {
	v.ctl = c
	v.readers.Go(func() { v.Hear(c) })
	v.PassOn(c)
	v.compare()
	v.turn(v.nego.Opened())
}

// send writes to the control channel, if there is one; a client that cannot be written to is gone.
func (v *Viewer) send(m control.Message) {
	if v.ctl == nil {
		return
	}
	err := v.ctl.Send(m)
	var bad *control.Error
	switch {
	case errors.As(err, &bad): // ours, not the client's
		v.log.Error("control message not sent", "word", string(bad.Word), "err", err)
	case err != nil:
		v.End(err)
	}
}

// Discard ends a session that will not Run.
func (v *Viewer) Discard(cause error) {
	v.End(cause)
	v.record.Remove(v.Ctx)
	v.release()
}

// release closes what the session holds.
func (v *Viewer) release() {
	v.seat.Leave()
	if v.player != nil {
		v.player.Close()
	}
	v.alone.Stop()
	v.share.Close()
	v.outlets.CloseAll()
	_ = v.PC.GracefulClose()
	v.room.Close()
	v.sections.Wait()
	v.readers.Wait()
}
