package bandwidth

import (
	"iter"
	"time"

	"weever/mediad/internal/fanout/down"
)

const (
	// lookEvery is the time between two looks at what tracks have counted.
	lookEvery = time.Second

	// overhead is about what RTP and SRTP add to a packet, in bytes.
	overhead = 40
)

// others measures what a viewer is sent besides the videos that there is a choice for: sound, other videos, retransmissions.
type others struct {
	rate  int // bit/s
	at    time.Time
	begun time.Time // when something had been sent first; zero: nothing was
	sent  map[*down.Track]count
}

// count is what a track had sent at the last look, in bytes.
type count struct{ first, again uint64 }

// look counts, if it is time to. chosen reports whether there is a choice for a track.
func (o *others) look(now time.Time, tracks iter.Seq[*down.Track], chosen func(*down.Track) bool) {
	took := now.Sub(o.at)
	if !o.at.IsZero() && took < lookEvery {
		return
	}
	sent, bytes := map[*down.Track]count{}, uint64(0)
	for d := range tracks {
		st := d.Stats()
		if o.begun.IsZero() && st.Packets > 0 {
			o.begun = now
		}
		c := count{first: st.Bytes + overhead*st.Packets, again: st.ResentBytes + overhead*st.Resent}
		sent[d] = c
		was, known := o.sent[d]
		if !known {
			continue
		}
		bytes += c.again - was.again
		if !chosen(d) {
			bytes += c.first - was.first
		}
	}
	if !o.at.IsZero() {
		rate := int(float64(bytes) * 8 / took.Seconds())
		if o.rate > 0 {
			rate = (o.rate + rate) / 2
		}
		o.rate = rate
	}
	o.at, o.sent = now, sent
}

// sentFor is since when packets have been sent.
func (o *others) sentFor(now time.Time) time.Duration {
	if o.begun.IsZero() {
		return 0
	}
	return now.Sub(o.begun)
}
