package session

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
	"weever/mediad/internal/peer"
	"weever/mediad/internal/roster"
	"weever/mediad/internal/sdpfrag"
	"weever/shared/apierr"
	"weever/shared/room"
)

// Timing of a publisher's session.
const (
	mutedGrace  = time.Second // a client whose control channel is open but who sends nothing is taken as muted after it
	retryPeriod = time.Second // between attempts to tell Redis
)

// publisher is one POST to /pub. Service.Publish makes it, run owns it and ends it.
type publisher struct {
	svc  *Service
	id   identity
	pc   *webrtc.PeerConnection
	room *roster.Room
	log  *slog.Logger

	ctx    context.Context // ends with the session; its cause says why
	cancel context.CancelCauseFunc

	look     chan struct{}    // capacity 1: the connection or the tracks changed, look again
	restarts chan restartCall // PATCH requests with new ICE credentials
	ice      generation
	channel  <-chan *channel
	inbox    chan incoming
	media    *intake

	// Owned by run.
	stage   stage
	joined  time.Time
	ctl     *channel
	unsaved bool // Redis does not know the present state
}

// Publish answers an offer to publish. The session is pending until its first packet; if that does not come within 15 s, nothing
// has changed for anybody.
func (s *Service) Publish(ctx context.Context, e Entry) (*Answer, error) {
	if err := s.admit(e.Client); err != nil {
		return nil, err
	}
	inc, err := s.cfg.Store.NextInc(ctx, e.Room)
	if err != nil {
		return nil, err
	}
	if err := e.Allowed(ctx); err != nil {
		return nil, err
	}
	pc, err := s.cfg.Peers.Accept(e.Offer)
	if err != nil {
		return nil, err
	}
	p := &publisher{
		svc: s, pc: pc,
		id:       e.identity(room.Pub, newID(s.cfg.Owner.Instance), inc),
		look:     make(chan struct{}, 1),
		restarts: make(chan restartCall),
		inbox:    make(chan incoming, 8),
	}
	p.log = s.cfg.Log.With("room", e.Room.String(), "peer", e.Full.String(), "inc", inc)
	p.ctx, p.cancel = context.WithCancelCause(s.base)
	p.media = newIntake(p)
	answer, err := p.answer(ctx, e.Offer)
	if err != nil {
		p.cancel(err)
		p.media.close()
		_ = pc.GracefulClose()
		return nil, err
	}
	return answer, nil
}

// answer wires the connection, writes the answer and starts the session.
func (p *publisher) answer(ctx context.Context, offer *peer.Offer) (*Answer, error) {
	p.channel = awaitChannel(p.ctx, p.pc)
	p.pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { p.again() })
	p.pc.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) { p.again() })
	p.pc.OnTrack(p.media.accept)
	sdp, err := peer.Answer(ctx, p.pc)
	if err != nil {
		return nil, err
	}
	if err := p.media.declare(offer.Sections, sdp); err != nil {
		return nil, err
	}
	if p.room, err = p.svc.cfg.Roster.Open(ctx, p.id.room); err != nil {
		return nil, err
	}
	if err := p.svc.start(p, p.run); err != nil {
		p.room.Close()
		return nil, err
	}
	return &Answer{SDP: sdp, Session: p.id.session, ETag: p.ice.settle(p.pc)}, nil
}

func (p *publisher) who() identity   { return p.id }
func (p *publisher) end(cause error) { p.cancel(cause) }

// again makes run look at the connection; it never blocks.
func (p *publisher) again() {
	select {
	case p.look <- struct{}{}:
	default:
	}
}

// run is the session. It returns when the session has left: record removed, connection closed, every goroutine ended.
func (p *publisher) run() {
	var readers sync.WaitGroup
	defer func() {
		p.media.close()
		_ = p.pc.GracefulClose()
		p.room.Close()
		p.media.wait()
		readers.Wait()
	}()
	changed, stopWatching := p.room.Watch()
	defer stopWatching()
	deadline := time.NewTimer(connectTimeout) // of pending, later of away
	defer deadline.Stop()
	var muted <-chan time.Time
	first := p.media.first
	for p.stage != left {
		select {
		case <-p.ctx.Done():
			p.happens(ended, deadline)
		case <-p.look:
			p.examine(deadline)
		case <-first:
			first = nil
			p.happens(started, deadline)
		case <-muted:
			p.happens(started, deadline)
		case <-deadline.C:
			p.cancel(map[bool]error{true: errNoConnect, false: errSilent}[p.stage == pending])
			p.happens(expired, deadline)
		case <-changed:
			p.compare(deadline)
		case c := <-p.channel:
			p.ctl, p.channel = c, nil
			muted = time.After(mutedGrace)
			readers.Go(func() {
				_ = c.read(p.ctx, p.inbox)
				p.cancel(errPeerClosed)
			})
		case in := <-p.inbox:
			p.obey(in)
		case call := <-p.restarts:
			call.reply <- p.restart(call)
		}
	}
	p.log.Info("publisher left", "why", context.Cause(p.ctx))
	p.cancel(errStopped) // in case nobody has: it ends the readers
}

// examine turns the connection's state into happenings.
func (p *publisher) examine(deadline *time.Timer) {
	switch p.pc.ConnectionState() {
	case webrtc.PeerConnectionStateClosed:
		p.cancel(errPeerClosed)
		p.happens(ended, deadline)
		return
	case webrtc.PeerConnectionStateFailed:
		if p.stage == pending {
			p.cancel(errNoConnect)
			p.happens(expired, deadline)
			return
		}
	}
	switch p.pc.ICEConnectionState() {
	case webrtc.ICEConnectionStateDisconnected, webrtc.ICEConnectionStateFailed:
		p.happens(silent, deadline)
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		p.happens(heard, deadline)
	}
	if p.stage != pending && p.stage != left {
		p.compare(deadline)
	}
	if p.stage == live && p.media.changed() || p.unsaved && (p.stage == live || p.stage == away) {
		p.record(p.state())
	}
}

// state is the stage as a record has it.
func (p *publisher) state() room.State {
	if p.stage == away {
		return room.Away
	}
	return room.Live
}

// compare looks whether the room still knows this session as the one.
func (p *publisher) compare(deadline *time.Timer) {
	if p.stage == pending || p.stage == left {
		return
	}
	view := p.room.View()
	known, ok := view.Publishers[p.id.full]
	_, lost := view.Unconfirmed[p.id.full]
	switch {
	case ok && known.Inc > p.id.inc, !ok && p.stage == away:
		p.cancel(errOvertaken)
		p.happens(overtaken, deadline)
	case !ok || lost:
		if !p.restore() {
			p.cancel(errOvertaken)
			p.happens(overtaken, deadline)
		}
	}
}

// happens advances the life of the session and does what that asks for.
func (p *publisher) happens(h happening, deadline *time.Timer) {
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
		deadline.Reset(p.svc.cfg.ResumeWindow)
	case markLive:
		deadline.Stop()
		p.record(room.Live)
	case remove:
		p.remove()
	case nothing:
	}
	p.stage = next
}

// obey carries out a control message of the publisher.
func (p *publisher) obey(in incoming) {
	var reply control.Message = control.OK{}
	switch m := in.msg.(type) {
	case nil:
		reply = in.bad.Reply()
	case control.Stop:
		p.cancel(errStopped)
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
	if err := p.ctl.send(reply); err != nil {
		p.cancel(err)
	}
}

// renegotiate answers a publisher's new offer over the control channel. An offer that is refused early changes nothing; one that
// fails once pion has taken it leaves the connection in between, so the session ends.
func (p *publisher) renegotiate(text string) (string, error) {
	offer, err := peer.ParseRenegotiation(text, knownSections(p.pc))
	if err != nil {
		return "", err
	}
	if err := p.media.room(offer.Sections); err != nil {
		return "", err
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}); err != nil {
		err = apierr.Wrap(apierr.Unacceptable, err, "the offer does not continue this session")
		p.cancel(err)
		return "", err
	}
	answer, err := peer.Answer(p.ctx, p.pc)
	if err == nil {
		err = p.media.declare(offer.Sections, answer)
	}
	if err != nil {
		p.cancel(err)
		return "", err
	}
	p.ice.settle(p.pc) // the offer may have restarted ICE
	p.again()
	return answer, nil
}

// knownSections lists the mids of a publisher's last offer, true for those in use.
func knownSections(pc *webrtc.PeerConnection) map[string]bool {
	known := map[string]bool{}
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(pc.RemoteDescription().SDP); err != nil {
		return known
	}
	for _, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		_, bundled := m.Attribute("bundle-only")
		known[mid] = m.MediaName.Port.Value != 0 || bundled
	}
	return known
}

// patch implements running.
func (p *publisher) patch(ctx context.Context, r PatchRequest) (sdpfrag.Fragment, error) {
	return p.ice.patch(ctx, p.ctx, p.pc, r, p.restarts)
}
