package clienttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/control"
)

// session is one POST. The server's lock guards its fields, but for those set by open.
type session struct {
	server               *Server
	in                   *room
	pc                   *webrtc.PeerConnection
	role, room, id, path string
	number               int

	channel *webrtc.DataChannel
	tracks  []*webrtc.TrackLocalStaticRTP // of a publisher
	live    bool                          // a publisher that was announced
	want    int                           // tracks it will have
	rids    []string                      // simulcast layers that came

	sections map[string]*webrtc.RTPTransceiver // of a subscriber: by "<publisher> <track>"
	parked   []*webrtc.RTPTransceiver
	waiting  bool // an SDP_OFFER is unanswered
	dirty    bool // something changed meanwhile
}

func interceptors(media *webrtc.MediaEngine) (*interceptor.Registry, error) {
	registry := &interceptor.Registry{}
	silence := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	return registry, webrtc.RegisterDefaultInterceptorsWithOptions(media, registry, webrtc.WithInterceptorLoggerFactory(silence))
}

// first answers the POST.
func (e *session) first(offer string) (string, error) {
	e.pc.OnDataChannel(e.control)
	if e.role == "pub" {
		e.pc.OnTrack(e.forward)
	}
	if err := e.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	e.server.mu.Lock()
	e.sections = make(map[string]*webrtc.RTPTransceiver)
	if e.role == "pub" {
		e.want = len(e.pc.GetTransceivers())
	} else {
		e.parked = append(e.parked, e.pc.GetTransceivers()...) // the sections it has offered to receive on
		for _, p := range e.in.pubs {
			e.attach(p, true)
		}
		e.in.subs[e] = true
	}
	e.server.mu.Unlock()
	return e.answer()
}

func (e *session) answer() (string, error) {
	answer, err := e.pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(e.pc)
	if err := e.pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return e.pc.LocalDescription().SDP, nil
}

// feedback passes key frame wishes on to the publisher.
func (e *session) feedback(p *session, sender *webrtc.RTPSender) {
	e.server.tasks.Go(func() {
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, packet := range packets {
				if _, ok := packet.(*rtcp.PictureLossIndication); ok {
					p.wishKey()
				}
			}
		}
	})
}

// wishKeys asks for key frames from all publishers of a subscriber's room. The server's lock is held.
func (e *session) wishKeys() {
	for _, p := range e.in.pubs {
		p.wishKey()
	}
}

func (e *session) wishKey() {
	for _, r := range e.pc.GetReceivers() {
		if t := r.Track(); t != nil && t.Kind() == webrtc.RTPCodecTypeVideo {
			_ = e.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.SSRC())}})
		}
	}
}

// Live reports whether all tracks of a publisher have come.
func (s *Server) Live(roomName, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[roomName]
	return r != nil && r.pubs[id] != nil
}

// forward makes a publisher's track available. The publisher is announced when all its tracks are.
func (e *session) forward(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	s := e.server
	s.mu.Lock()
	if rid := remote.RID(); rid != "" {
		e.rids = append(e.rids, rid)
		if receiver.Track() != remote { // of simulcast, the first layer is enough
			s.mu.Unlock()
			for err := error(nil); err == nil; {
				_, _, err = remote.ReadRTP()
			}
			return
		}
	}
	local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, e.nameOf(receiver), e.id)
	e.complain("a track", err)
	e.tracks = append(e.tracks, local)
	switch {
	case s.sessions[e.path] == nil:
	case e.live: // a track that came later
		for sub := range e.in.subs {
			if sub.waiting {
				sub.dirty = true
			} else if sub.attach(e, false) {
				sub.negotiate()
			}
		}
	case len(e.tracks) == e.want:
		e.live = true
		e.in.pubs[e.id] = e
		for sub := range e.in.subs {
			sub.join(e)
		}
	}
	// Sequence numbers of a later publisher begin further on, so that Swap does not look like a replay to SRTP.
	begin := uint16(e.number * 3000) //nolint:gosec // it may wrap
	s.mu.Unlock()
	var shift uint16
	for first := true; ; first = false {
		p, _, err := remote.ReadRTP()
		if err != nil {
			return
		}
		if first {
			shift = begin - p.SequenceNumber
		}
		p.SequenceNumber += shift
		p.Extension, p.Extensions = false, nil // the ids are the publisher's, not ours
		if err := local.WriteRTP(p); err != nil {
			return
		}
	}
}

// nameOf is "video0" for the publisher's first video section, and so on.
func (e *session) nameOf(receiver *webrtc.RTPReceiver) string {
	n := 0
	for _, t := range e.pc.GetTransceivers() {
		if t.Receiver() == receiver {
			return fmt.Sprintf("%s%d", t.Kind(), n)
		}
		if t.Kind() == receiver.RTPTransceiver().Kind() {
			n++
		}
	}
	return ""
}

// join tells a subscriber of a publisher and offers her tracks. Sections that were parked are free after a completed round.
func (e *session) join(p *session) {
	e.say("PUB_JOIN " + p.id)
	if e.waiting {
		e.dirty = true
		return
	}
	if e.attach(p, false) {
		e.negotiate()
	}
}

func (e *session) say(text string) {
	if e.channel != nil {
		_ = e.channel.SendText(text)
	}
}

// control serves the control channel.
func (e *session) control(channel *webrtc.DataChannel) {
	s := e.server
	channel.OnOpen(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sessions[e.path] == nil {
			return
		}
		e.channel = channel
		if e.role == "sub" {
			for id, p := range e.in.pubs {
				e.say("PUB_JOIN " + id)
				if e.attach(p, false) { // not all found a place in the first answer
					e.dirty = true
				}
			}
			if e.dirty {
				e.negotiate()
			}
		}
	})
	channel.OnMessage(func(raw webrtc.DataChannelMessage) {
		m, err := control.Parse(control.FromClient, raw.Data)
		var bad *control.Error
		if errors.As(err, &bad) {
			text, _ := control.Encode(bad.Reply())
			e.tell(text)
			return
		}
		e.obey(m)
	})
}

// tell is say for those who do not hold the server's lock.
func (e *session) tell(text string) {
	e.server.mu.Lock()
	defer e.server.mu.Unlock()
	e.say(text)
}

func (e *session) obey(m control.Message) {
	s := e.server
	switch m := m.(type) {
	case control.SDPAnswer:
		if err := e.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.SDP}); err != nil {
			e.complain("the answer", err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		e.waiting = false
		e.wishKeys()
		if e.dirty {
			for _, p := range e.in.pubs {
				e.attach(p, false)
			}
			e.negotiate()
		}
	case control.SDPOffer:
		if err := e.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: m.SDP}); err != nil {
			e.complain("the offer", err)
			return
		}
		answer, err := e.answer()
		if err != nil {
			e.complain("answering", err)
			return
		}
		e.tell("SDP_ANSWER " + answer)
	case control.Stop:
		s.end(e)
	case control.Ping:
		e.tell("PONG " + m.Text)
	case control.Say:
		s.mu.Lock()
		defer s.mu.Unlock()
		for sub := range e.in.subs {
			if sub != e {
				sub.say(fmt.Sprintf("SAID %s %s", e.id, m.JSON))
			}
		}
		e.say("OK")
	case control.SubMode:
		names, _ := json.Marshal(map[string]string{"mode": string(m.Mode)})
		e.tell("STATS " + string(names))
	default:
		e.tell("OK")
	}
}
