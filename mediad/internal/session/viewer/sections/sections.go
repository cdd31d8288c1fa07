// Package sections keeps the m-lines of a viewer's connection, so that its description does not grow with those who come and go.
//
// A section carries one track, is parked when that track goes, and carries another one after the round that parked it. A viewer's Run
// owns the List; the goroutines that read RTCP end with the connection.
package sections

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/peer"
)

const (
	// maxSections bounds a viewer's description, which has to fit a data-channel message: a narrow section takes about 900 bytes.
	maxSections = 200
	maxPacket   = 1500 // bytes of an RTCP packet; nothing larger passes an Ethernet path unfragmented
)

// List is the sections of one viewer's connection.
type List struct {
	pc      *webrtc.PeerConnection
	list    []*section
	codecs  map[webrtc.RTPCodecType]map[string]bool // what the client can receive, by kind and lower-case media type; nil: not yet known
	fixed   bool                                    // a WHEP player: no section may be added
	readers sync.WaitGroup                          // of RTCP; they end with their sender
}

type section struct {
	tr      *webrtc.RTPTransceiver
	full    bool        // carries the full codec list of its kind
	down    *down.Track // nil: free, or on its way to be
	parking bool        // the round that makes it free is not complete
}

// New makes the List of a connection that was given the client's offer, whose sections are free for use. fixed says that no others may
// ever be added, because there is no way to tell the client.
func New(pc *webrtc.PeerConnection, offer string, fixed bool) *List {
	s := &List{pc: pc, fixed: fixed, codecs: map[webrtc.RTPCodecType]map[string]bool{}}
	s.Learn(offer)
	seen := map[webrtc.RTPCodecType]bool{}
	for _, tr := range pc.GetTransceivers() {
		s.list = append(s.list, &section{tr: tr, full: fixed || !seen[tr.Kind()]})
		seen[tr.Kind()] = true
	}
	return s
}

// Len is the number of sections, parked ones included.
func (s *List) Len() int { return len(s.list) }

// Kinds counts the sections by kind.
func (s *List) Kinds() map[webrtc.RTPCodecType]int {
	kinds := map[webrtc.RTPCodecType]int{}
	for _, sec := range s.list {
		kinds[sec.tr.Kind()]++
	}
	return kinds
}

// Learn notes what a description of the client's says it can receive.
func (s *List) Learn(text string) {
	kinds := map[string]webrtc.RTPCodecType{"audio": webrtc.RTPCodecTypeAudio, "video": webrtc.RTPCodecTypeVideo}
	for _, media := range peer.Negotiated(text) {
		for _, c := range media.Codecs {
			mime := strings.ToLower(c.MimeType)
			name, _, _ := strings.Cut(mime, "/")
			kind := kinds[name]
			if s.codecs[kind] == nil {
				s.codecs[kind] = map[string]bool{}
			}
			s.codecs[kind][mime] = true
		}
	}
}

// CanReceive reports whether the client takes a codec, as far as is known.
func (s *List) CanReceive(kind webrtc.RTPCodecType, codec string) bool {
	known := s.codecs[kind]
	return known == nil || known[strings.ToLower(codec)]
}

// Outcome says where a track went.
type Outcome uint8

const (
	// Placed says that the track is on a section.
	Placed Outcome = iota
	// NextRound says that a section is being parked: wait for it, or the description would grow with every change.
	NextRound
	// Nowhere says that the connection has as many sections as it may.
	Nowhere
)

// Place puts d, which sends codec, on a free section of its kind, or on a new one.
func (s *List) Place(d *down.Track, codec string) (Outcome, error) {
	free, parking := 0, 0
	for _, sec := range s.list {
		if sec.tr.Kind() == d.Kind() && sec.down == nil {
			if sec.parking {
				parking++
			} else {
				free++
			}
		}
	}
	switch {
	case free > 0:
		return Placed, s.reuse(d, codec)
	case s.fixed || len(s.list) >= maxSections && parking == 0:
		return Nowhere, nil
	case parking > 0:
		return NextRound, nil
	default:
		return Placed, s.grow(d, codec)
	}
}

// reuse puts d on a free section. pion chooses which, among equals.
func (s *List) reuse(d *down.Track, codec string) error {
	sender, err := s.pc.AddTrack(d)
	if err != nil {
		return fmt.Errorf("reusing a section: %w", err)
	}
	for _, sec := range s.list {
		if sec.tr.Sender() == sender {
			sec.down = d
			s.read(sender, d)
			return s.narrow(sec, codec)
		}
	}
	return fmt.Errorf("reusing a section: pion made a new one")
}

// grow adds a section. The first of its kind keeps the full codec list: what it leaves out, pion would never offer again.
func (s *List) grow(d *down.Track, codec string) error {
	first := true
	for _, sec := range s.list {
		first = first && sec.tr.Kind() != d.Kind()
	}
	tr, err := s.pc.AddTransceiverFromTrack(d, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return fmt.Errorf("adding a section: %w", err)
	}
	sec := &section{tr: tr, full: first, down: d}
	s.list = append(s.list, sec)
	s.read(tr.Sender(), d)
	return s.narrow(sec, codec)
}

// narrow reduces a section's codec list to the one it carries and its retransmissions, so that fifty publishers fit a message.
func (s *List) narrow(sec *section, codec string) error {
	if sec.full {
		return nil
	}
	if err := sec.tr.SetCodecPreferences(nil); err != nil {
		return fmt.Errorf("resetting codecs: %w", err)
	}
	all := sec.tr.Sender().GetParameters().Codecs
	var keep []webrtc.RTPCodecParameters
	for _, c := range all {
		if strings.EqualFold(c.MimeType, codec) {
			keep = append(keep, c)
			for _, rtx := range all {
				if rtx.SDPFmtpLine == fmt.Sprintf("apt=%d", c.PayloadType) {
					keep = append(keep, rtx)
				}
			}
		}
	}
	if len(keep) == 0 {
		return nil
	}
	if err := sec.tr.SetCodecPreferences(keep); err != nil {
		return fmt.Errorf("narrowing codecs: %w", err)
	}
	return nil
}

// PlaceOf is the place of the section that carries d, -1 when none does. For a player it is the place of the m-line, too.
func (s *List) PlaceOf(d *down.Track) int {
	return slices.IndexFunc(s.list, func(sec *section) bool { return sec.down == d })
}

// Park takes d off its section, which becomes free with the completion of the round that is made next.
func (s *List) Park(d *down.Track) error {
	for _, sec := range s.list {
		if sec.down != d {
			continue
		}
		sec.down = nil
		if s.fixed {
			return nil // nothing can be said to a player: the section stays and is silent
		}
		sec.parking = true
		if err := s.pc.RemoveTrack(sec.tr.Sender()); err != nil {
			return fmt.Errorf("parking a section: %w", err)
		}
	}
	return nil
}

// Completed says that a round is over: what it parked is free.
func (s *List) Completed() {
	for _, sec := range s.list {
		sec.parking = false
	}
}

// read passes the client's RTCP for a sender to its track, until the sender stops.
func (s *List) read(sender *webrtc.RTPSender, d *down.Track) {
	if d.Direct() {
		return
	}
	s.readers.Go(func() {
		buf := make([]byte, maxPacket)
		for {
			n, _, err := sender.Read(buf)
			if errors.Is(err, io.ErrShortBuffer) {
				continue
			}
			if err != nil {
				return
			}
			d.HandleRTCP(buf[:n])
		}
	})
}

// Wait returns when nothing reads RTCP any more; the connection must have been closed.
func (s *List) Wait() { s.readers.Wait() }
