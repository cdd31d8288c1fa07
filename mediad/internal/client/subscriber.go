package client

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/link"
	"weever/mediad/internal/client/repair"
	"weever/mediad/internal/control"
	"weever/shared/room"
)

// pollEvery is how often the Await methods look at counters that nobody announces.
const pollEvery = 2 * time.Millisecond

// nackSSRC is the SSRC that NACKs are sent under: one that no stream has, as nothing is sent.
const nackSSRC = 1

// Subscriber is a session that receives.
type Subscriber struct {
	*Session
	rx      *arrival.Reception
	missing *repair.List
	rounds  answering
}

// answering says what becomes of the server's offers. Tests change it.
type answering struct {
	mu     sync.Mutex
	hold   bool
	silent bool
	held   int    // offers that wait
	newest string // the newest of them: a server that sends a second one has given up the first
}

// Subscribe opens a session that offers so many audio and video sections to receive on. With none of either it is the original
// clients' offer, a data channel alone. With cfg.NoControl it is plain WHEP, which wants at most one of each.
//
// ctx governs the opening alone. It returns when the connection and the control channel are up, tracks or not; errors are
// *StatusError when the server refused.
func Subscribe(ctx context.Context, cfg Config, audio, video int) (*Subscriber, error) {
	sub := &Subscriber{missing: repair.New()}
	sub.rx = arrival.NewReception(arrival.Hooks{
		Arrived: cfg.Arrived, Saw: sub.missing.Saw,
		Came: func(ssrc uint32, seq uint16) (time.Time, bool) { return sub.Came(ssrc, seq) },
	})
	s, err := link.New(cfg, false, sub.hear)
	if err != nil {
		return nil, err
	}
	sub.Session = s
	s.Go(func() { sub.missing.Run(s.Context(), sub.ask) })
	s.PeerConnection().OnTrack(func(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		if t := receiver.RTPTransceiver(); t != nil { // nil when it has been stopped already
			s.Go(func() { sub.rx.Read(remote, t.Mid()) })
		}
	})
	for i := range audio + video {
		kind := webrtc.RTPCodecTypeAudio
		if i >= audio {
			kind = webrtc.RTPCodecTypeVideo
		}
		_, err := s.PeerConnection().AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			s.Abort(err)
			return nil, err
		}
	}
	if err := s.Open(ctx, "sub", sub.rx.Remap); err != nil {
		return nil, err
	}
	return sub, nil
}

// ask sends a NACK (RFC 4585 section 6.2.1).
func (s *Subscriber) ask(ssrc uint32, seqs []uint16) {
	_ = s.PeerConnection().WriteRTCP([]rtcp.Packet{ // else the connection is closed
		&rtcp.TransportLayerNack{SenderSSRC: nackSSRC, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs)},
	})
}

// hear runs on the control channel's goroutine.
func (s *Subscriber) hear(m control.Message) {
	offer, ok := m.(control.SDPOffer)
	if !ok {
		return
	}
	s.rounds.mu.Lock()
	hold := s.rounds.hold
	if hold {
		s.rounds.held++
		s.rounds.newest = offer.SDP
	}
	s.rounds.mu.Unlock()
	if !hold {
		s.answer(offer.SDP)
	}
}

// answer is one round.
func (s *Subscriber) answer(offer string) {
	s.Answer(offer, s.rx.Remap, func(answer string) error {
		s.rounds.mu.Lock()
		silent := s.rounds.silent
		s.rounds.mu.Unlock()
		if silent {
			return nil
		}
		return s.Send(control.SDPAnswer{SDP: answer})
	})
}

// HoldAnswers leaves SDP_OFFERs lying, as a client that has stalled.
func (s *Subscriber) HoldAnswers() {
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	s.rounds.hold = true
}

// HeldOffers is the number of offers that HoldAnswers keeps.
func (s *Subscriber) HeldOffers() int {
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	return s.rounds.held
}

// ReleaseAnswers ends HoldAnswers and answers the newest offer that came meanwhile, if any.
func (s *Subscriber) ReleaseAnswers() {
	s.rounds.mu.Lock()
	offer := s.rounds.newest
	s.rounds.hold, s.rounds.held, s.rounds.newest = false, 0, ""
	s.rounds.mu.Unlock()
	if offer != "" {
		s.answer(offer)
	}
}

// DropAnswers makes answers get lost on the way (true): offers are applied, the server does not hear of it.
func (s *Subscriber) DropAnswers(on bool) {
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	s.rounds.silent = on
}

// Tracks says what has come of every track ever announced, sorted by publisher and track.
func (s *Subscriber) Tracks() []arrival.Stats { return s.rx.Stats() }

// Track says what has come of one track; ok is false when it was never announced.
func (s *Subscriber) Track(pub, id string) (_ arrival.Stats, ok bool) { return s.rx.Track(pub, id) }

// ResetTracks sets the counts of all tracks to zero, for a measurement that begins now.
func (s *Subscriber) ResetTracks() {
	for _, t := range s.rx.All() {
		t.Reset()
	}
}

// Sections describes the m-sections of the server's newest description, in its order.
func (s *Subscriber) Sections() []arrival.SectionInfo { return s.rx.Layout() }

// Stray is the number of packets that came on sections that carry nobody, or that could not be read.
func (s *Subscriber) Stray() uint64 { return s.rx.Stray() }

// AwaitMedia waits until the first packet of any track has come.
func (s *Subscriber) AwaitMedia(ctx context.Context) error {
	ctx, stop := s.During(ctx)
	defer stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for s.rx.FirstPacketAt().IsZero() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if n := len(s.rx.All()); n > 0 {
				return fmt.Errorf("no packet of any of %d tracks: %w", n, context.Cause(ctx))
			}
			return fmt.Errorf("there was nobody to watch: %w", context.Cause(ctx))
		}
	}
	return nil
}

// FirstPacketAt is when the first packet of any track came; zero while none has.
func (s *Subscriber) FirstPacketAt() time.Time { return s.rx.FirstPacketAt() }

// AwaitTrack waits until enough finds what it looks for in a track, and returns what it saw.
func (s *Subscriber) AwaitTrack(ctx context.Context, pub, id string, enough func(arrival.Stats) bool) (arrival.Stats, error) {
	ctx, stop := s.During(ctx)
	defer stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		t, ok := s.Track(pub, id)
		if ok && enough(t) {
			return t, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return t, fmt.Errorf("track %s of %s: announced %v, active %v, %d packets, last at %v: %w",
				id, pub, ok, t.Active, t.Packets, t.LastAt.Format(time.StampMilli), context.Cause(ctx))
		}
	}
}

// Sub asks for a publisher, or for the tracks named.
func (s *Subscriber) Sub(pub room.FullID, tracks ...string) error {
	return s.Send(control.Sub{Pub: pub, Tracks: tracks})
}

// Unsub drops a publisher, or the tracks named.
func (s *Subscriber) Unsub(pub room.FullID, tracks ...string) error {
	return s.Send(control.Unsub{Pub: pub, Tracks: tracks})
}

// Layer chooses the quality of a track.
func (s *Subscriber) Layer(pub room.FullID, track string, level control.Level) error {
	return s.Send(control.Layer{Pub: pub, Track: track, Level: level})
}

// Mode says whether publishers nobody spoke of are received.
func (s *Subscriber) Mode(mode control.Mode) error { return s.Send(control.SubMode{Mode: mode}) }

// Say sends a JSON value to the other subscribers of the room.
func (s *Subscriber) Say(value json.RawMessage) error { return s.Send(control.Say{JSON: value}) }

// Ping sends PING and waits for its PONG; it returns the time between.
func (s *Subscriber) Ping(ctx context.Context, text string) (time.Duration, error) {
	from := len(s.Log())
	sent := time.Now()
	if err := s.Send(control.Ping{Text: text}); err != nil {
		return 0, err
	}
	_, _, err := s.AwaitFrom(ctx, from, func(m control.Message) bool { return m == control.Pong{Text: text} })
	return time.Since(sent), err
}
