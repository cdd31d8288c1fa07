package ladder

// Layer is one that a publisher sends of a track.
type Layer struct {
	Name string // of the layer; never the same twice in one track
	Rate int    // bit/s, as measured of late; 0: not known
}

// Steps from one layer to the next, and the rate of the least, where none has been measured.
const (
	guessStep  = 3
	guessLeast = 150_000
)

// Track is one video track of one viewer. The zero Track is ready; it belongs to whoever calls its Ladder.
//
// One that is off is left out of decisions; when it comes back, a new Track is given a layer that the estimate covers.
type Track struct {
	layers []Layer // best first
	at     int     // the one that is sent
	most   int     // the best that may be sent
	pinned bool
	placed bool // it has been given its first layer
	told   bool
	said   string // the layer that was told, if one was

	was  int    // where it stood when a raise was considered
	from string // where it stood before the raise that is on trial
}

// Offer says what there is to choose from, best first, and which is the best that the client wants; pinned says that it wants that and
// no other. A layer that is not there stands for the best; a track that is offered none has one without a name. The layers are copied.
// Call it as often as a rate is measured anew.
//
// The present layer stays if it is still there; else the track goes to the next below it, or to the least.
func (t *Track) Offer(layers []Layer, most string, pinned bool) {
	name, below := "", ""
	if t.placed {
		name = t.layers[t.at].Name
	}
	for i := t.at + 1; i < len(t.layers); i++ { // the next below that is left
		if find(layers, t.layers[i].Name) >= 0 {
			below = t.layers[i].Name
			break
		}
	}
	t.layers = append(t.layers[:0], layers...)
	if len(layers) == 0 {
		t.layers = append(t.layers, Layer{})
	}
	t.guess()
	t.most, t.pinned = max(find(t.layers, most), 0), pinned
	t.at = len(t.layers) - 1
	for _, n := range []string{name, below} {
		if i := find(t.layers, n); i >= 0 {
			t.at = i
			break
		}
	}
	t.bound()
}

func find(layers []Layer, name string) int {
	for i := range layers {
		if layers[i].Name == name {
			return i
		}
	}
	return -1
}

// guess fills in the rates that are not known, by those next to them, and makes none lower than the one below it.
func (t *Track) guess() {
	l := t.layers
	last := len(l) - 1
	for i := 1; i <= last; i++ {
		if l[i].Rate <= 0 {
			l[i].Rate = l[i-1].Rate / guessStep // 0 if that is not known either
		}
	}
	if l[last].Rate <= 0 {
		l[last].Rate = guessLeast
	}
	for i := last - 1; i >= 0; i-- {
		if l[i].Rate <= 0 {
			l[i].Rate = guessStep * l[i+1].Rate
		}
		l[i].Rate = max(l[i].Rate, l[i+1].Rate)
	}
}

// bound keeps the track within what the client wants.
func (t *Track) bound() {
	if t.pinned {
		t.at = t.most
	}
	t.at = max(t.at, t.most)
}

// Layer names the layer to send; empty before the first decision.
func (t *Track) Layer() string { return t.said }

func (t *Track) rate() int { return t.layers[t.at].Rate }

// lowers reports whether the track can go lower, raises whether higher.
func (t *Track) lowers() bool { return !t.pinned && t.at < len(t.layers)-1 }
func (t *Track) raises() bool { return !t.pinned && t.at > t.most }

// step is what the next higher layer takes in addition.
func (t *Track) step() int { return t.layers[t.at-1].Rate - t.rate() }
