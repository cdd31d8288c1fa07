package bandwidth

import (
	"slices"

	"weever/mediad/internal/fanout/congestion/ladder"
	"weever/mediad/internal/session/viewer/wishes"
)

// headers is what RTP, SRTP and padding add to a layer's payload, in percent.
const headers = 5

// rung is a video with a choice.
type rung struct {
	Video
	track ladder.Track
	meter Meter
	rates map[string]int // by layer, as they were measured last: silence is no measurement
}

func find(list []*rung, key wishes.Track) int {
	return slices.IndexFunc(list, func(r *rung) bool { return r.Key == key })
}

// take takes in what there is now, and has it measured.
func (r *rung) take(v Video, measure func(Video) Meter) *rung {
	if r.rates == nil {
		r.rates = map[string]int{}
	}
	same := r.meter != nil && r.Track.Key == v.Track.Key && r.Owner == v.Owner && slices.Equal(r.Rids, v.Rids)
	r.Video = v
	if !same {
		if r.meter != nil {
			r.meter.Stop()
		}
		r.meter = measure(v)
	}
	r.offer()
	return r
}

// offer hands on what is known of the layers.
func (r *rung) offer() {
	layers := make([]ladder.Layer, len(r.Rids))
	for i, rid := range r.Rids {
		if rate := r.meter.Of(rid); rate > 0 {
			r.rates[rid] = rate + rate*headers/100
		}
		layers[i] = ladder.Layer{Name: rid, Rate: r.rates[rid]}
	}
	r.track.Offer(layers, r.Most, false)
}
