// Package board keeps what one player is to be told, until it fetches it as server-sent events.
//
// A session publishes states on its Board; a player opens streams on it and reads each with one Reader at a time. There are no queues:
// a state that changes before it is read replaces what it was, so a slow reader, or none, costs nothing. Nothing here blocks, starts a
// goroutine or knows HTTP.
package board

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"sync"

	"weever/shared/apierr"
)

// maxStreams is how many streams one session may have at once.
const maxStreams = 4

// The slots of a board: what belongs to one state. They are read in this order.
const (
	stateSlot = iota
	layersSlot
	viewersSlot
	reconnectSlot
	slotCount
)

// slot is one state. Nothing was published while version is 0.
type slot struct {
	version uint64
	name    Name
	data    []byte // one line of JSON; never changed in place
}

// Board is the states of one session. All methods may be called by any goroutine.
type Board struct {
	changed chan<- struct{}

	mu      sync.Mutex // guards what follows, and all streams and readers
	slots   [slotCount]slot
	version uint64 // of the last change
	streams map[string]*stream
	closed  bool
}

// stream is what a player opened.
type stream struct {
	want   Set
	base   [slotCount]uint64 // what it need not be told
	reader *Reader           // nil: nobody reads
}

// New makes a Board without states. changed gets a value, if it has room for one, when streams come or go.
func New(changed chan<- struct{}) *Board {
	return &Board{changed: changed, streams: map[string]*stream{}}
}

// SetLive says whether the publisher is live.
func (b *Board) SetLive(live bool) {
	name := Inactive
	if live {
		name = Active
	}
	b.set(stateSlot, name, struct{}{})
}

// SetLayers says which layers there are: of each video section, by its place among the m-lines.
func (b *Board) SetLayers(layers map[int][]Layer) { b.set(layersSlot, Layers, layers) }

// SetViewers says how many watch.
func (b *Board) SetViewers(n int) {
	b.set(viewersSlot, ViewerCount, map[string]int{"viewercount": n})
}

// SetReconnect tells the player to start anew with a POST to url.
func (b *Board) SetReconnect(url string) {
	b.set(reconnectSlot, Reconnect, map[string]string{"url": url})
}

// Layer is one layer of a video section. A layer that sends nothing, or of which that is not known, has no bit rate.
type Layer struct {
	Rid      string `json:"rid,omitempty"`
	Spatial  *int   `json:"spatialLayerId,omitempty"`
	Temporal *int   `json:"temporalLayerId,omitempty"`
	Bitrate  int    `json:"bitrate,omitempty"` // bits a second
	Width    int    `json:"width,omitempty"`
	Height   int    `json:"height,omitempty"`
}

// set publishes a state; one that is as it was is no news.
func (b *Board) set(at int, name Name, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		return // none of the types above fails
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.slots[at]
	if b.closed || s.name == name && bytes.Equal(s.data, data) {
		return
	}
	b.version++
	*s = slot{b.version, name, data}
	for _, st := range b.streams {
		if st.want.has(name) && st.reader != nil {
			st.reader.wake()
		}
	}
}

// Wants reports whether any stream is for the event.
func (b *Board) Wants(name Name) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, st := range b.streams {
		if st.want.has(name) {
			return true
		}
	}
	return false
}

// Open makes a stream of the events in want and returns its id, which cannot be guessed. It is apierr.TooMany when the session has
// enough, apierr.NoSession when it has ended.
func (b *Board) Open(want Set) (id string, err error) {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	id = hex.EncodeToString(secret[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return "", apierr.New(apierr.NoSession, "the session has ended; start again with a POST")
	case len(b.streams) >= maxStreams:
		return "", apierr.New(apierr.TooMany, "the session has %d event streams already; DELETE one first", maxStreams)
	}
	st := &stream{want: want}
	if s := b.slots[stateSlot]; s.name == Inactive { // never the first thing a player hears
		st.base[stateSlot] = s.version
	}
	b.streams[id] = st
	tell(b.changed)
	return id, nil
}

// Delete ends a stream and whoever reads it; what was not read is dropped. It is false when there is none of that id.
func (b *Board) Delete(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.streams[id]
	if st == nil {
		return false
	}
	delete(b.streams, id)
	st.replace(nil)
	tell(b.changed)
	return true
}

// Has reports whether there is a stream of that id.
func (b *Board) Has(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams[id] != nil
}

// Close ends all streams. Readers are told, and may still Take what was published before.
func (b *Board) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for _, st := range b.streams {
		if st.reader != nil {
			close(st.reader.done)
		}
	}
	clear(b.streams)
}

func tell(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default: // it has one already
	}
}
