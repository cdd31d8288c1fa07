// Package layer reads a player's wish for a video layer and finds the layer that meets it: pure rules, without I/O.
package layer

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"weever/shared/apierr"
)

// Wish is what a player asked for, in the words of WHEP's layer selection. The zero Wish leaves the choice to the node.
type Wish struct {
	Media     string // which section: the place of its m-line, or its mid; empty: the first video
	Rid       string // this layer and no other
	Spatial   int    // of a scalable stream; nodes do not take such streams apart, so only 0 is there
	Temporal  int    // likewise
	MaxWidth  *int   // pixels; nil: no limit
	MaxHeight *int   // likewise
}

// Layer is one that there is, with the size of its pictures; 0: not known.
type Layer struct {
	Rid           string // empty: the track has one layer without a name
	Width, Height int
}

// request is the body of a selection. null is as good as absent; what is not here is ignored.
type request struct {
	MediaID    media   `json:"mediaId"`
	Rid        *string `json:"rid"`
	EncodingID *string `json:"encodingId"` // the name of rid in earlier drafts
	Spatial    *int    `json:"spatialLayerId"`
	Temporal   *int    `json:"temporalLayerId"`
	MaxSpatial *int    `json:"maxSpatialLayerId"`
	MaxTempo   *int    `json:"maxTemporalLayerId"`
	MaxWidth   *int    `json:"maxWidth"`
	MaxHeight  *int    `json:"maxHeight"`
}

// media is a string that some write as a number.
type media string

func (m *media) UnmarshalJSON(b []byte) error {
	var n json.Number
	if json.Unmarshal(b, &n) == nil {
		*m = media(n.String()) // also of a string that is a number
		return nil
	}
	return json.Unmarshal(b, (*string)(m))
}

// Parse reads the body of a selection. The error is apierr.BadRequest.
func Parse(body []byte) (Wish, error) {
	var r *request
	if err := json.Unmarshal(body, &r); err != nil || r == nil {
		return Wish{}, apierr.Wrap(apierr.BadRequest, err,
			`send a JSON object such as {"mediaId":"0","rid":"hd"}: mediaId and rid are strings, layer ids and sizes whole numbers`)
	}
	for _, n := range []*int{r.Spatial, r.Temporal, r.MaxSpatial, r.MaxTempo, r.MaxWidth, r.MaxHeight} {
		if n != nil && *n < 0 {
			return Wish{}, apierr.New(apierr.BadRequest, "layer ids and sizes are 0 or more")
		}
	}
	w := Wish{Media: string(r.MediaID), MaxWidth: r.MaxWidth, MaxHeight: r.MaxHeight}
	if r.Rid == nil {
		r.Rid = r.EncodingID
	}
	if r.Rid != nil {
		w.Rid = *r.Rid
	}
	if r.Spatial != nil {
		w.Spatial = *r.Spatial
	}
	if r.Temporal != nil {
		w.Temporal = *r.Temporal
	}
	return w, nil
}

// Section finds the one that w is about, among the mids of all sections and the places of the video sections among them, both in
// the order of the m-lines. The error is apierr.Unacceptable and names what there is.
func (w Wish) Section(mids []string, videos []int) (int, error) {
	if len(videos) == 0 {
		return 0, apierr.New(apierr.Unacceptable, "this session has no video section")
	}
	if w.Media == "" {
		return videos[0], nil
	}
	for _, i := range videos {
		if strconv.Itoa(i) == w.Media {
			return i, nil
		}
	}
	for _, i := range videos {
		if mids[i] == w.Media {
			return i, nil
		}
	}
	known := make([]string, len(videos))
	for i, at := range videos {
		known[i] = strconv.Itoa(at)
	}
	return 0, apierr.New(apierr.Unacceptable, "mediaId names no video section; those of this session are %s", strings.Join(known, ", "))
}

// Check reports whether layers can meet w. The error is apierr.Unacceptable and names what there is.
func (w Wish) Check(layers []Layer) error {
	known := false
	for _, l := range layers {
		known = known || l.Rid == w.Rid
	}
	switch {
	case w.Spatial > 0 || w.Temporal > 0:
		return apierr.New(apierr.Unacceptable, "no layer has a spatialLayerId or temporalLayerId above 0; %s", choices(layers))
	case w.Rid != "" && !known:
		return apierr.New(apierr.Unacceptable, "there is no layer with this rid; %s", choices(layers))
	}
	return nil
}

func choices(layers []Layer) string {
	var rids []string
	for _, l := range layers {
		if l.Rid != "" {
			rids = append(rids, l.Rid)
		}
	}
	switch {
	case len(rids) > 0:
		return "choose a rid: " + strings.Join(rids, ", ")
	case len(layers) > 0:
		return "the track has a single layer, without a rid"
	}
	return "nothing is sent on this section at the moment"
}

// NeedsSizes reports whether the choice depends on the sizes of the pictures.
func (w Wish) NeedsSizes() bool { return w.Rid == "" && (w.MaxWidth != nil || w.MaxHeight != nil) }

// Choose gives the rid of the layer, out of layers that are listed best first; false leaves the choice to the node. A rid that is not
// there at the moment is stood in for by the best of those below it, or the least if there is none: whoever chose it has no use for
// more. below names those below it, as far as that is known. Of limits it is the best layer within them, or the
// least if none is; as long as no size is known they limit nothing.
func (w Wish) Choose(layers []Layer, below []string) (rid string, ok bool) {
	if w.Rid != "" {
		return w.named(layers, below)
	}
	if !w.NeedsSizes() {
		return "", false
	}
	sized := false
	for _, l := range layers {
		if l.Width == 0 || l.Height == 0 {
			continue
		}
		sized = true
		if within(l.Width, w.MaxWidth) && within(l.Height, w.MaxHeight) {
			return l.Rid, true
		}
	}
	if !sized {
		return "", false
	}
	return layers[len(layers)-1].Rid, true
}

// named is Choose for a wish that names a layer.
func (w Wish) named(layers []Layer, below []string) (rid string, ok bool) {
	if len(layers) == 0 || layers[0].Rid == "" {
		return "", false
	}
	is := func(l Layer) bool { return l.Rid == w.Rid }
	lower := func(l Layer) bool { return slices.Contains(below, l.Rid) }
	for _, fits := range []func(Layer) bool{is, lower} {
		if n := slices.IndexFunc(layers, fits); n >= 0 {
			return layers[n].Rid, true
		}
	}
	return layers[len(layers)-1].Rid, true
}

func within(n int, limit *int) bool { return limit == nil || n <= *limit }
