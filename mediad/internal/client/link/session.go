package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client/journal"
	"weever/mediad/internal/client/whip"
	"weever/mediad/internal/client/wire"
	"weever/mediad/internal/control"
	"weever/mediad/internal/sdpfrag"
)

// abortTimeout bounds the DELETE of a session that could not be opened.
const abortTimeout = 2 * time.Second

// Session is one POST and what came of it: the part that publishers and subscribers share. Its methods may be called by any
// goroutine.
type Session struct {
	cfg       Config // fixed, as all down to life
	pc        *webrtc.PeerConnection
	wire      *wire.Wire
	res       *whip.Resource
	sig       *signaling
	journal   *journal.Journal
	channel   *webrtc.DataChannel // nil without control channel
	connected chan struct{}       // closed when media can flow
	opened    chan struct{}       // closed when the control channel is open; at once when there is none
	done      chan struct{}       // closed when everything has stopped

	life context.Context // ends with the session; its cause says why
	end  context.CancelCauseFunc

	mu    sync.Mutex
	over  bool           // no task may begin any more
	tasks sync.WaitGroup // what the session waits for at its end
}

// New makes the PeerConnection of a session that is not open yet. hear gets what the node says on the control channel, on
// the channel's own goroutine. The caller then calls Open, or Abort.
func New(cfg Config, publisher bool, hear func(control.Message)) (*Session, error) {
	w, err := wire.New()
	if err != nil {
		return nil, err
	}
	pc, err := newPeer(&cfg, w, publisher)
	if err != nil {
		return nil, err
	}
	s := &Session{
		cfg:       cfg,
		pc:        pc,
		wire:      w,
		res:       whip.New(cmp.Or(cfg.HTTP, http.DefaultClient), cfg.Token),
		sig:       &signaling{pc: pc},
		journal:   journal.New(),
		connected: make(chan struct{}),
		opened:    make(chan struct{}),
		done:      make(chan struct{}),
	}
	s.life, s.end = context.WithCancelCause(context.Background())
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(s.connected) })
		case webrtc.PeerConnectionStateFailed:
			s.end(ErrLost)
		case webrtc.PeerConnectionStateClosed:
			s.end(ErrRemote)
		default:
		}
	})
	if err := s.openControl(hear); err != nil {
		s.end(err)
		return nil, errors.Join(err, pc.Close())
	}
	go s.supervise()
	return s, nil
}

// supervise takes everything down when the session's life ends, then closes done.
func (s *Session) supervise() {
	<-s.life.Done()
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	_ = s.pc.GracefulClose() // its sockets are gone either way
	s.tasks.Wait()
	close(s.done)
}

// openControl adds the control channel to the first offer.
func (s *Session) openControl(hear func(control.Message)) error {
	if s.cfg.NoControl {
		close(s.opened)
		return nil
	}
	channel, err := s.pc.CreateDataChannel(control.Label, nil)
	if err != nil {
		return err
	}
	s.channel = channel
	channel.OnOpen(func() { close(s.opened) })
	channel.OnMessage(func(raw webrtc.DataChannelMessage) {
		m, err := control.Parse(control.FromServer, raw.Data)
		if err == nil && !raw.IsString {
			err = errors.New("a message came as binary")
		}
		if err != nil {
			s.journal.Fault(err)
			return
		}
		s.journal.Add(m)
		hear(m)
	})
	return nil
}

// Go runs f in a goroutine that the session waits for at its end. f must end soon after Context does. Once the session is over
// it does nothing.
func (s *Session) Go(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.tasks.Go(f)
	}
}

// Open POSTs and, unless told not to, waits until media and control channel can be used. mapping sees the answer just before it
// takes effect. When it fails, the session is over.
func (s *Session) Open(ctx context.Context, role string, mapping func(*sdp.SessionDescription)) (err error) {
	defer func() {
		if err != nil {
			s.Abort(err)
		}
	}()
	exchange := s.cfg.Exchange
	if exchange == nil {
		endpoint, err := s.cfg.endpoint(role)
		if err != nil {
			return err
		}
		exchange = func(ctx context.Context, offer string) (string, error) { return s.res.Post(ctx, endpoint, offer) }
	}
	ctx, stop := s.During(ctx)
	defer stop()
	offer, err := s.sig.offer(ctx, !s.cfg.Trickle)
	if err != nil {
		return err
	}
	answer, err := exchange(ctx, offer)
	if err != nil {
		return err
	}
	if err := s.sig.accept(answer, mapping); err != nil {
		return err
	}
	if s.cfg.Trickle {
		if err := s.trickle(ctx); err != nil {
			return err
		}
	}
	if s.cfg.NoWait {
		return nil
	}
	for _, c := range []struct {
		what string
		up   <-chan struct{}
	}{{"connection", s.connected}, {"control channel", s.opened}} {
		select {
		case <-c.up:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the %s: %w", c.what, context.Cause(ctx))
		}
	}
	return nil
}

// Abort ends a session that was never handed out, and waits for it.
func (s *Session) Abort(why error) {
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	_ = s.res.Delete(ctx) // the failure that led here says more
	s.end(why)
	<-s.done
}

// During ties ctx to the session's life.
func (s *Session) During(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })
	return ctx, func() { stop(); cancel(nil) }
}

// trickle waits for all candidates and sends them as one fragment.
func (s *Session) trickle(ctx context.Context) error {
	if err := s.sig.gathered(ctx); err != nil {
		return err
	}
	f, err := sdpfrag.FromSDP(s.pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	reply, err := s.Patch(ctx, sdpfrag.ContentType, f.String(), s.res.ETag())
	if err != nil {
		return err
	}
	if reply.Status != http.StatusNoContent {
		return reply.Failure(http.MethodPatch)
	}
	return nil
}

// ICERestart changes the session's path, as a phone does that comes from one network into another: new credentials, new sockets,
// one PATCH. It returns when the answer is applied; the connection follows within moments. A failure ends the session, for pion
// gives up the old path first.
func (s *Session) ICERestart(ctx context.Context) error {
	return s.Restart(ctx, func(ctx context.Context, ours sdpfrag.Fragment) (sdpfrag.Fragment, error) {
		reply, err := s.Patch(ctx, sdpfrag.ContentType, ours.String(), "*")
		if err != nil {
			return sdpfrag.Fragment{}, err
		}
		if reply.Status != http.StatusOK {
			return sdpfrag.Fragment{}, reply.Failure(http.MethodPatch)
		}
		theirs, err := sdpfrag.ParseReply([]byte(reply.Body))
		if err == nil && (theirs.Ufrag == "" || theirs.Pwd == "") {
			err = errors.New("the answer to the ICE restart lacks credentials")
		}
		return theirs, err
	})
}

// Restart is ICERestart with another carrier than PATCH: exchange takes our fragment to the server and brings its own.
func (s *Session) Restart(ctx context.Context, exchange func(context.Context, sdpfrag.Fragment) (sdpfrag.Fragment, error)) error {
	ctx, stop := s.During(ctx)
	defer stop()
	err := s.sig.restart(ctx, func(ours sdpfrag.Fragment) (sdpfrag.Fragment, error) { return exchange(ctx, ours) })
	if err != nil {
		if errors.Is(err, webrtc.ErrConnectionClosed) || errors.Is(err, ice.ErrClosed) {
			err = ErrRemote // it was over before we began
		}
		err = fmt.Errorf("ICE restart: %w", err)
		s.end(err)
	}
	return err
}

// Patch sends any body to the session's URL. ifMatch is the header as it is to be sent; empty leaves it out.
func (s *Session) Patch(ctx context.Context, contentType, body, ifMatch string) (whip.Reply, error) {
	return s.res.Patch(ctx, contentType, body, ifMatch)
}

// Send says m on the control channel. It does not wait for an answer.
func (s *Session) Send(m control.Message) error {
	text, err := control.Encode(m)
	if err != nil {
		return err
	}
	if s.channel == nil {
		return ErrUnsupported
	}
	return s.channel.SendText(text)
}

// Events gives what the node says on the control channel. It holds journal.MaxEvents messages; later ones are dropped while it is full.
// It is never closed. SDP is left out of the messages.
func (s *Session) Events() <-chan control.Message { return s.journal.Events() }

// Log returns the newest messages of the control channel, oldest first, SDP left out.
func (s *Session) Log() []control.Message { return s.journal.List() }

// Faults lists the node's messages that broke the rules of the channel.
func (s *Session) Faults() []string { return s.journal.Faults() }

// Await waits until the control channel has brought a message that match accepts, now or earlier, and returns it.
func (s *Session) Await(ctx context.Context, match func(control.Message) bool) (control.Message, error) {
	m, _, err := s.AwaitFrom(ctx, 0, match)
	return m, err
}

// AwaitFrom is Await for messages from position from of the Log on. It returns the position behind the message. The Log is cut to
// its newer half whenever it holds journal.MaxList messages.
func (s *Session) AwaitFrom(ctx context.Context, from int, match func(control.Message) bool) (control.Message, int, error) {
	ctx, stop := s.During(ctx)
	defer stop()
	return s.journal.Await(ctx, from, match)
}

// Rounds is the number of negotiation rounds completed, the POST among them.
func (s *Session) Rounds() int { return s.sig.count() }

// Location is the URL of the session, a secret; empty before it is open.
func (s *Session) Location() string { return s.res.Location() }

// ETag is the entity tag of the present ICE session.
func (s *Session) ETag() string { return s.res.ETag() }

// PeerConnection is the connection below, for looking at.
func (s *Session) PeerConnection() *webrtc.PeerConnection { return s.pc }

// SetNetwork unplugs the session's UDP sockets (false) or plugs them in again. Nothing reports that anything is amiss.
func (s *Session) SetNetwork(up bool) { s.wire.Plug(up) }

// SetLoss makes a share, 0 to 1, of the UDP packets that arrive get lost.
func (s *Session) SetLoss(share float64) { s.wire.Lose(share) }

// Came says when the kernel got an RTP packet, under the numbers it bore on the wire; ok is false when it does not tell, or when about
// a thousand others came since.
func (s *Session) Came(ssrc uint32, seq uint16) (at time.Time, ok bool) {
	return s.wire.Came(ssrc, seq)
}

// Done is closed when the session is over and everything it started has stopped.
func (s *Session) Done() <-chan struct{} { return s.done }

// Context ends with the session; its cause says why.
func (s *Session) Context() context.Context { return s.life }

// Connected is closed when media can flow.
func (s *Session) Connected() <-chan struct{} { return s.connected }

// Fail ends the session for the reason given, without waiting.
func (s *Session) Fail(why error) { s.end(why) }

// HasControl reports whether the session was opened with a control channel.
func (s *Session) HasControl() bool { return s.channel != nil }

// Offer begins a negotiation round: it makes an offer with all candidates. Accept must end the round; an offer cannot be taken
// back.
func (s *Session) Offer(ctx context.Context) (string, error) { return s.sig.offer(ctx, true) }

// Accept ends the round with the server's answer.
func (s *Session) Accept(answer string) error { return s.sig.accept(answer, nil) }

// Answer is a whole round that the server began. before sees the offer just before it takes effect; send takes the answer. A
// failure ends the session, as it would end a browser's.
func (s *Session) Answer(offer string, before func(*sdp.SessionDescription), send func(answer string) error) {
	if err := s.sig.answer(offer, before, send); err != nil {
		s.journal.Fault(err)
		s.end(fmt.Errorf("negotiation: %w", err))
	}
}

// Err says why the session is over; nil while it is not.
func (s *Session) Err() error { return context.Cause(s.life) }

// Close ends the session with DELETE, as a well-behaved client does, and waits until everything has stopped. The error is that of
// the DELETE.
func (s *Session) Close(ctx context.Context) error {
	err := s.res.Delete(ctx)
	s.finish()
	return err
}

// Stop says STOP and waits until the server has ended the session or ctx is over; everything has stopped then.
func (s *Session) Stop(ctx context.Context) error {
	defer s.finish()
	if err := s.Send(control.Stop{}); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the server did not end the session after STOP: %w", context.Cause(ctx))
	}
}

// Hangup closes the PeerConnection without DELETE: the server sees DTLS close_notify.
func (s *Session) Hangup() { s.finish() }

// Abandon vanishes: no DELETE, no close_notify, not one packet more.
func (s *Session) Abandon() {
	s.SetNetwork(false)
	s.finish()
}

func (s *Session) finish() {
	s.end(ErrClosed)
	<-s.done
}
