package session

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
	"weever/mediad/internal/roster"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/apierr"
	"weever/shared/room"
)

// Timing of a viewer's session.
const (
	answerTimeout = 10 * time.Second // for an SDP_OFFER
	refreshPeriod = 30 * time.Second // between writes of the record, which an emptied Redis loses
	plainWait     = 60 * time.Second // a WHEP player waits that long for its publisher to return
)

// viewer is one POST to /sub. Service.Subscribe makes it, run owns it and ends it.
type viewer struct {
	svc  *Service
	id   identity
	pc   *webrtc.PeerConnection
	room *roster.Room
	log  *slog.Logger

	ctx    context.Context // ends with the session; its cause says why
	cancel context.CancelCauseFunc

	look     chan struct{} // capacity 1: the connection changed, look again
	restarts chan restartCall
	ice      generation
	channel  <-chan *channel
	inbox    chan incoming
	readers  sync.WaitGroup
	player   *player.Player // of a WHEP player; nil: the viewer has a control channel

	// Owned by run (and by Subscribe before it).
	wishes    wishes
	sections  sections
	legs      map[legKey]*leg
	levels    map[legKey]control.Level // by LAYER; kept while a leg is away
	doomed    []*down.Track            // their sections are parked by the next round
	announced map[room.FullID]announcement
	nego      negotiation
	ctl       *channel
	answerBy  *time.Timer // runs while an offer is unanswered
	alone     *time.Timer // runs while a WHEP player has no publisher
	waits     bool        // alone runs
	joined    time.Time
	noted     map[legKey]bool // tracks the client was told it cannot have
	connected bool
	settled   bool // a WHEP player that has its answer: sections and legs stay as they are
}

// legKey names one thing a viewer is sent.
type legKey struct {
	pub   room.FullID
	track string
}

// leg is one publisher's track on its way to the viewer.
type leg struct {
	key    legKey
	inc    int64
	owner  room.Owner
	track  room.Track
	layer  string
	down   *down.Track
	placed bool // on a section
}

// SubOptions are the query parameters of a POST to /sub.
type SubOptions struct {
	Manual bool   // start with nothing subscribed
	Pub    string // for a WHEP player: whom to play; empty: the oldest live publisher
}

// Subscribe answers an offer to receive. With an m=application section it is a multistream session, which is sent the whole
// room by renegotiation; without, it is a WHEP player with at most one audio and one video, and NobodyLive if there is nothing
// to play.
func (s *Service) Subscribe(ctx context.Context, e Entry, opt SubOptions) (*Answer, error) {
	if err := s.admit(e.Client); err != nil {
		return nil, err
	}
	v := &viewer{
		svc: s, id: e.identity(room.Sub, newID(s.cfg.Owner.Instance), 0),
		look: make(chan struct{}, 1), restarts: make(chan restartCall), inbox: make(chan incoming, 8),
		legs: map[legKey]*leg{}, levels: map[legKey]control.Level{}, announced: map[room.FullID]announcement{},
		noted:  map[legKey]bool{},
		wishes: wishes{self: e.Full.ID(), manual: opt.Manual, spoken: map[wishKey]bool{}},
	}
	if !e.Offer.Data {
		v.wishes.plain = &plainWish{name: opt.Pub}
		v.player = s.newPlayer(e, opt)
	}
	v.ctx, v.cancel = context.WithCancelCause(s.base)
	v.log = s.cfg.Log.With("room", e.Room.String(), "peer", e.Full.String())
	var err error
	if v.room, err = s.cfg.Roster.Open(ctx, e.Room); err != nil {
		v.cancel(err)
		return nil, err
	}
	if v.pc, err = s.cfg.Peers.Accept(e.Offer); err != nil {
		v.cancel(err)
		v.room.Close()
		return nil, err
	}
	answer, err := v.answer(ctx, e.Offer)
	if err == nil {
		err = v.enter(ctx, e.Allowed)
	}
	if err != nil {
		v.cancel(err)
		v.release()
		return nil, err
	}
	return answer, nil
}

// answer puts what is live on the offered sections and writes the answer.
func (v *viewer) answer(ctx context.Context, offer *peer.Offer) (*Answer, error) {
	v.channel = awaitChannel(v.ctx, v.pc)
	v.pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { v.again() })
	v.sections = sections{pc: v.pc, fixed: !offer.Data, codecs: map[webrtc.RTPCodecType]map[string]bool{}, reader: &v.readers}
	v.sections.learn(offer.SDP)
	v.sections.adopt()
	v.compare()
	if !offer.Data && len(v.legs) == 0 {
		if len(v.wishes.choose(v.room.View())) > 0 {
			return nil, apierr.New(apierr.Unacceptable, "the publisher sends no codec that this offer takes")
		}
		return nil, apierr.New(apierr.NobodyLive, "nobody is live in this room; try again when somebody publishes").After(2 * time.Second)
	}
	if err := v.placeOffered(); err != nil {
		return nil, err
	}
	sdp, err := peer.Answer(ctx, v.pc)
	if err != nil {
		return nil, err
	}
	if offer.Data {
		if sdp, err = peer.Outgoing(sdp); err != nil {
			return nil, err
		}
	}
	v.sections.completed()
	v.settled = !offer.Data
	v.show(v.wishes.choose(v.room.View())) // before the player can ask
	return &Answer{SDP: sdp, Session: v.id.session, ETag: v.ice.settle(v.pc), Plain: !offer.Data}, nil
}

// enter writes the subscriber's record and starts the session: the last steps, so that a refusal leaves nothing behind.
func (v *viewer) enter(ctx context.Context, allowed func(context.Context) error) error {
	v.joined = time.Now().UTC()
	inc, err := v.writeRecord(ctx)
	if err == nil {
		v.id.inc = inc
		err = allowed(ctx)
	}
	if err == nil {
		err = v.svc.start(v, v.run)
	}
	if err != nil {
		v.forgetRecord()
	}
	return err
}

func (v *viewer) who() identity   { return v.id }
func (v *viewer) end(cause error) { v.cancel(cause) }

// again makes run look at the connection; it never blocks.
func (v *viewer) again() {
	select {
	case v.look <- struct{}{}:
	default:
	}
}

// patch implements running.
func (v *viewer) patch(ctx context.Context, r PatchRequest) (sdpfrag.Fragment, error) {
	return v.ice.patch(ctx, v.ctx, v.pc, r, v.restarts)
}

// run is the session. It returns when the record is removed, the connection closed and every goroutine ended.
func (v *viewer) run() {
	defer v.release()
	defer v.forgetRecord()
	changed, stopWatching := v.room.Watch()
	defer stopWatching()
	connect := time.NewTimer(connectTimeout)
	defer connect.Stop()
	v.answerBy, v.alone = stoppedTimer(), stoppedTimer()
	defer v.answerBy.Stop()
	defer v.alone.Stop()
	refresh := time.NewTicker(refreshPeriod)
	defer refresh.Stop()
	v.log.Info("viewer joined")
	for v.ctx.Err() == nil {
		select {
		case <-v.ctx.Done():
		case <-v.look:
			v.examine()
		case <-connect.C:
			if !v.connected {
				v.cancel(errNoConnect)
			}
		case <-changed:
			v.compare()
			v.turn(v.nego.next())
		case <-v.news():
			v.compare()
		case c := <-v.channel:
			v.open(c)
		case in := <-v.inbox:
			v.obey(in)
		case <-v.answerBy.C:
			v.turn(v.nego.overdue())
		case <-v.alone.C:
			v.cancel(errNothingLeft)
		case <-refresh.C:
			v.rewriteRecord()
		case call := <-v.restarts:
			call.reply <- v.restart(call)
			v.turn(v.nego.restarted())
		}
	}
	v.log.Info("viewer left", "why", context.Cause(v.ctx))
}

// stoppedTimer makes a timer to be Reset later.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// examine ends the session when its connection has.
func (v *viewer) examine() {
	switch v.pc.ConnectionState() {
	case webrtc.PeerConnectionStateConnected:
		if !v.connected {
			v.connected = true
			for _, l := range v.legs {
				l.down.Start()
			}
		}
	case webrtc.PeerConnectionStateClosed:
		v.cancel(errPeerClosed)
	case webrtc.PeerConnectionStateFailed:
		v.cancel(errSilent)
	}
}

// open takes the control channel into use: one PUB_JOIN per publisher already live, then whatever has changed since the answer.
func (v *viewer) open(c *channel) {
	v.ctl, v.channel = c, nil
	v.readers.Go(func() {
		_ = c.read(v.ctx, v.inbox)
		v.cancel(errPeerClosed)
	})
	v.compare()
	v.turn(v.nego.opened())
}

// send writes to the control channel, if there is one; a client that cannot be written to is gone.
func (v *viewer) send(m control.Message) {
	if v.ctl == nil {
		return
	}
	err := v.ctl.send(m)
	var bad *control.Error
	switch {
	case errors.As(err, &bad): // ours, not the client's
		v.log.Error("control message not sent", "word", string(bad.Word), "err", err)
	case err != nil:
		v.cancel(err)
	}
}

// forgetRecord removes the subscriber's record; the session's own context may have ended already.
func (v *viewer) forgetRecord() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.ctx), opTimeout)
	defer cancel()
	remove := func(ctx context.Context) error { return v.svc.cfg.Store.RemoveSubscriber(ctx, v.id.room, v.id.session) }
	if err := remove(ctx); err != nil {
		v.log.Warn("subscriber's record not removed; it will be", "err", err)
		v.svc.owe(remove)
	}
}

// writeRecord writes the subscriber's record, anew or again, and returns its incarnation.
func (v *viewer) writeRecord(ctx context.Context) (int64, error) {
	return v.svc.cfg.Store.AddSubscriber(ctx, v.id.room, room.Subscriber{
		FullID: v.id.full, Session: v.id.session, Owner: v.svc.cfg.Owner, Inc: v.id.inc, JoinedAt: v.joined,
	})
}

// rewriteRecord puts right what an emptied Redis has lost. The incarnation stays: others read the identity meanwhile.
func (v *viewer) rewriteRecord() {
	ctx, cancel := context.WithTimeout(v.ctx, opTimeout)
	defer cancel()
	if _, err := v.writeRecord(ctx); err != nil {
		v.log.Debug("subscriber's record not refreshed", "err", err)
	}
}

// release closes what the session holds.
func (v *viewer) release() {
	if v.player != nil {
		v.player.Close()
	}
	for _, l := range v.legs {
		l.down.Switch(nil, nil)
	}
	_ = v.pc.GracefulClose()
	v.room.Close()
	v.readers.Wait()
}
