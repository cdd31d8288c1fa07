// Package outlet makes the outgoing tracks of one viewer and has what they count added to the node's sums.
//
// A viewer makes its Outlets and owns them; the Book is the node's.
package outlet

import (
	"iter"
	"maps"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"weever/mediad/internal/fanout/down"
	"weever/mediad/internal/fanout/drop"
	"weever/mediad/internal/fanout/secure"
	"weever/mediad/internal/metrics/census"
	"weever/mediad/internal/session/life"
)

// Sum is what outgoing tracks have counted, all together.
type Sum struct {
	Packets, Bytes       uint64 // sent, without retransmissions; payload bytes
	Resent, ResentBytes  uint64
	ResentRTX            uint64 // of Resent, those on the retransmission stream
	Nacks, KeyframeAsked uint64 // packets asked for again; PLI and FIR
	Waiting              int    // tracks that have a stream, but no packet to begin with
	Drops                drop.Counts
}

// Plus implements census.Sum.
func (s Sum) Plus(o Sum) Sum {
	return Sum{
		Packets: s.Packets + o.Packets, Bytes: s.Bytes + o.Bytes,
		Resent: s.Resent + o.Resent, ResentBytes: s.ResentBytes + o.ResentBytes, ResentRTX: s.ResentRTX + o.ResentRTX,
		Nacks: s.Nacks + o.Nacks, KeyframeAsked: s.KeyframeAsked + o.KeyframeAsked,
		Waiting: s.Waiting + o.Waiting, Drops: s.Drops.Plus(o.Drops),
	}
}

// Tracks is what a Book's Read gives, by kind: "audio" and "video".
type Tracks = map[string]census.Total[Sum]

// Book adds up the tracks of all viewers of a node. The zero Book is ready.
type Book = census.Book[string, Sum]

// Config is what Outlets work with; all of it is required but Out.
type Config struct {
	Book      *Book
	Clock     *life.Clock
	WriteRTCP func([]rtcp.Packet) error // as of down.Config
	Out       *secure.Sender            // may be nil, as of down.Config
}

// Outlets are the tracks of one viewer, for one goroutine at a time.
type Outlets struct {
	cfg      Config
	open     map[*down.Track]func()
	measured bool
}

// New makes Outlets without tracks.
func New(cfg Config) *Outlets { return &Outlets{cfg: cfg, open: map[*down.Track]func(){}} }

// Open makes a track.
func (o *Outlets) Open(kind webrtc.RTPCodecType) (*down.Track, error) {
	video := kind == webrtc.RTPCodecTypeVideo
	d, err := down.New(down.Config{
		Kind: kind, WriteRTCP: o.cfg.WriteRTCP, Out: o.cfg.Out, Began: func(waited time.Duration) { o.cfg.Clock.Wrote(video, waited) },
	})
	if err != nil {
		return nil, err
	}
	d.Measure(o.measured)
	o.open[d] = o.cfg.Book.Enter(kind.String(), func() Sum { return read(d) })
	return d, nil
}

// Measure says of all tracks, those opened later too, whether their packets are to be numbered (see down.Track).
func (o *Outlets) Measure(on bool) {
	o.measured = on
	for d := range o.open {
		d.Measure(on)
	}
}

// All gives the tracks that are open, in no order.
func (o *Outlets) All() iter.Seq[*down.Track] { return maps.Keys(o.open) }

func read(d *down.Track) Sum {
	st := d.Stats()
	s := Sum{
		Packets: st.Packets, Bytes: st.Bytes, Resent: st.Resent, ResentBytes: st.ResentBytes, ResentRTX: st.ResentRTX,
		Nacks: st.Nacks, KeyframeAsked: st.KeyframeAsked, Drops: st.Drops,
	}
	if st.Waiting {
		s.Waiting = 1
	}
	return s
}

// Close makes a track show nothing, for good. What its client still says of it does not count any more.
func (o *Outlets) Close(d *down.Track) {
	d.Switch(nil, nil)
	if leave := o.open[d]; leave != nil {
		delete(o.open, d)
		leave()
	}
}

// CloseAll closes what is open.
func (o *Outlets) CloseAll() {
	for d := range o.open {
		o.Close(d)
	}
}
