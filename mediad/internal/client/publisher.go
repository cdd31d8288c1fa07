package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/client/link"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
)

// Publisher is a session that sends.
type Publisher struct {
	*Session
	answers chan string // SDP_ANSWERs, for AddTrack

	mu     sync.Mutex
	tracks []*outgoing // in the order of their m-lines
}

// Publish opens a session that sends the tracks. Their sources run from when the connection is up until the session ends.
//
// ctx governs the opening alone. Errors are *StatusError when the server refused.
func Publish(ctx context.Context, cfg Config, tracks ...Track) (*Publisher, error) {
	if len(tracks) == 0 {
		return nil, errors.New("client: a publisher needs a track")
	}
	p := &Publisher{answers: make(chan string, 1)}
	s, err := link.New(cfg, true, p.hear)
	if err != nil {
		return nil, err
	}
	p.Session = s
	for _, t := range tracks {
		if _, err := p.add(t); err != nil {
			s.Abort(err)
			return nil, err
		}
	}
	if err := s.Open(ctx, "pub", nil); err != nil {
		return nil, err
	}
	for _, o := range p.tracks {
		p.start(o)
	}
	return p, nil
}

// add makes the next track. The names in its msid are like those of a browser: nobody should rely on them.
func (p *Publisher) add(t Track) (*outgoing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, err := newOutgoing(p.PeerConnection(), t, "stream", fmt.Sprintf("track%d", len(p.tracks)))
	if err != nil {
		return nil, err
	}
	p.tracks = append(p.tracks, o)
	return o, nil
}

// start lets a negotiated track flow.
func (p *Publisher) start(o *outgoing) {
	o.negotiated()
	for _, l := range o.layers {
		p.Go(func() { o.listen(l) })
		if l.source != nil {
			p.Go(func() {
				select {
				case <-p.Connected():
					l.run(p.Context())
				case <-p.Context().Done():
				}
			})
		}
	}
}

// hear runs on the control channel's goroutine.
func (p *Publisher) hear(m control.Message) {
	if answer, ok := m.(control.SDPAnswer); ok {
		select {
		case p.answers <- answer.SDP:
		default: // nobody asked
		}
	}
}

// AddTrack adds a track by SDP_OFFER on the control channel and waits for SDP_ANSWER. When it fails the session is over: an offer
// cannot be taken back.
func (p *Publisher) AddTrack(ctx context.Context, t Track) error {
	if !p.HasControl() {
		return ErrUnsupported
	}
	ctx, stop := p.During(ctx)
	defer stop()
	err := func() error {
		o, err := p.add(t)
		if err != nil {
			return err
		}
		offer, err := p.Offer(ctx)
		if err != nil {
			return err
		}
		if err := p.Send(control.SDPOffer{SDP: offer}); err != nil {
			return err
		}
		select {
		case answer := <-p.answers:
			if err := p.Accept(answer); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("waiting for SDP_ANSWER: %w", context.Cause(ctx))
		}
		p.start(o)
		return nil
	}()
	if err != nil {
		p.Fail(err)
	}
	return err
}

// WriteRTP sends one packet on a layer of a track, both counted from 0; SSRC and payload type are filled in. The packet is
// borrowed until the call returns; its header is extended.
func (p *Publisher) WriteRTP(track, layer int, packet *rtp.Packet) error {
	l, err := p.layer(track, layer)
	if err != nil {
		return err
	}
	return l.write(packet)
}

// Mute stops the packets of a track, all layers of it, or lets them flow again.
func (p *Publisher) Mute(track int, on bool) error {
	return p.each(track, func(l *layer) {
		if l.source != nil {
			l.source.Mute(on)
		}
	})
}

// MuteLayer is Mute for one layer of a track, both counted from 0: so does a browser that is short of bandwidth with its best ones.
func (p *Publisher) MuteLayer(track, layer int, on bool) error {
	l, err := p.layer(track, layer)
	if err != nil {
		return err
	}
	if l.source != nil {
		l.source.Mute(on)
	}
	return nil
}

// SetLevel sets the audio level that a track claims, in -dBov: 0 is loudest, 127 silence.
func (p *Publisher) SetLevel(track int, level uint8) error {
	return p.each(track, func(l *layer) { l.level.Store(uint32(min(level, 127))) })
}

func (p *Publisher) each(track int, f func(*layer)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if track < 0 || track >= len(p.tracks) {
		return fmt.Errorf("client: there is no track %d", track)
	}
	for _, l := range p.tracks[track].layers {
		f(l)
	}
	return nil
}

func (p *Publisher) layer(track, index int) (*layer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if track < 0 || track >= len(p.tracks) || index < 0 || index >= len(p.tracks[track].layers) {
		return nil, fmt.Errorf("client: there is no layer %d of track %d", index, track)
	}
	return p.tracks[track].layers[index], nil
}

// Sent says what was sent, track by track and layer by layer.
func (p *Publisher) Sent() []SentStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []SentStats
	for _, o := range p.tracks {
		for _, l := range o.layers {
			all = append(all, l.stats(o.spec.Codec))
		}
	}
	return all
}

// Camera and Microphone are the tracks of a usual publisher.
func Camera(codec synth.Codec, model synth.Model) Track {
	return Track{Config: synth.Config{Codec: codec, Model: model}}
}

// Microphone is a track of Opus, 50 packets a second.
func Microphone() Track { return Track{Config: synth.Config{Codec: synth.Opus}} }

// TrackLocal is the pion track of a layer, for tests that feed it in their own way.
func (p *Publisher) TrackLocal(track, layer int) (*webrtc.TrackLocalStaticRTP, error) {
	l, err := p.layer(track, layer)
	if err != nil {
		return nil, err
	}
	return l.local, nil
}
