// Package player is the node's side of WHEP's two core extensions for one player: what it is told by events, and which video layer it
// chose.
//
// A session makes a Player and shows it what the player is sent; HTTP opens streams on its board and hands it wishes. What nobody asked
// for is not looked up: viewers are counted and bit rates measured while a stream wants them.
package player

import (
	"slices"
	"strings"
	"sync"

	"weever/mediad/internal/player/board"
	"weever/mediad/internal/player/layer"
	"weever/mediad/internal/poll"
	"weever/mediad/internal/relay"
	"weever/shared/room"
)

// Config is what a Player works with.
type Config struct {
	Sources *Sources
	Room    room.Name
	URL     string   // where it would start anew, for Reconnect
	Mids    []string // of all sections of the session, in the order of the m-lines
	Videos  []int    // the video sections among them
}

// Player is one WHEP player. Its methods may be called by any goroutine.
type Player struct {
	cfg     Config
	board   *board.Board
	changed chan struct{} // capacity 1

	mu       sync.Mutex // guards what follows
	wish     layer.Wish
	below    []string // the layers below the one that wish names, best first, when that was there last
	scene    Scene
	audience *poll.Watch[room.Name, int]
	meter    *poll.Watch[meterKey, readings] // of measured
	measured meterKey
	sizes    map[string]layer.Layer // by rid; outlives a publisher's new session
	closed   bool
}

// Scene is what a player is sent.
type Scene struct {
	Live  bool   // its publisher is live
	Video *Track // nil: it was never sent any video
}

// Track is the video track that a player is sent.
type Track struct {
	At      int       // place of its m-line
	Rids    []string  // its layers, best first; empty: it has one, without a name
	Playing bool      // a publisher has it now
	Key     relay.Key // of it, but for the layer
	Owner   room.Owner
}

// New makes a Player that was shown nothing.
func New(cfg Config) *Player {
	changed := make(chan struct{}, 1)
	return &Player{
		cfg: cfg, board: board.New(changed), changed: changed, sizes: map[string]layer.Layer{},
	}
}

// Board is what the player reads.
func (p *Player) Board() *board.Board { return p.board }

// Changed says that Layer may give another result, or that there is news: call Show again. It is never closed.
func (p *Player) Changed() <-chan struct{} { return p.changed }

// Show takes in what the player is sent now, and publishes it with what is known besides. It does not wait.
func (p *Player) Show(s Scene) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.scene = s
	p.watch()
	p.learn()
	p.board.SetLive(s.Live)
	p.board.SetLayers(p.layers())
	if p.audience != nil {
		if n, ok := p.audience.Latest(); ok {
			p.board.SetViewers(n)
		}
	}
}

// Layer gives the layer that the player is to be sent of a track with these; false leaves it to the node.
func (p *Player) Layer(rids []string) (rid string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learn()
	p.rank(rids)
	return p.wish.Choose(p.known(rids), p.below)
}

// Pinned reports whether the player named the layer itself and wants no other.
func (p *Player) Pinned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wish.Rid != ""
}

// Select takes in a wish, in place of the one before. It is obeyed soon after; if it cannot be, the error is apierr.Unacceptable and
// nothing changes.
func (p *Player) Select(w layer.Wish) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, err := w.Section(p.cfg.Mids, p.cfg.Videos)
	if err != nil {
		return err
	}
	var there []layer.Layer
	carries := p.scene.Video != nil && p.scene.Video.At == at
	if carries {
		there = p.known(named(p.scene.Video.Rids))
	}
	if err := w.Check(there); err != nil {
		return err
	}
	if carries {
		p.wish, p.below = w, nil
		p.rank(p.scene.Video.Rids)
		select {
		case p.changed <- struct{}{}:
		default: // it has one already
		}
	}
	return nil
}

// Reconnect tells the player to start anew: its session will end.
func (p *Player) Reconnect() { p.board.SetReconnect(p.cfg.URL) }

// Close ends all streams. Nothing is watched any more when it returns.
func (p *Player) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.audience != nil {
		p.audience.Stop()
	}
	if p.meter != nil {
		p.meter.Stop()
	}
	p.board.Close()
}

// named is the list of layers of a track, one without a name if it has no others.
func named(rids []string) []string {
	if len(rids) == 0 {
		return []string{""}
	}
	return rids
}

// watch begins to look up what is wanted now and ends what is not. The caller holds mu, as in all that follows.
func (p *Player) watch() {
	if want := p.board.Wants(board.ViewerCount); want && p.audience == nil {
		p.audience = p.cfg.Sources.viewers.Watch(p.cfg.Room, p.changed)
	} else if !want && p.audience != nil {
		p.audience.Stop()
		p.audience = nil
	}
	t := p.scene.Video
	want := t != nil && t.Playing && (p.board.Wants(board.Layers) || p.wish.NeedsSizes())
	if p.meter != nil && (!want || t.measure() != p.measured) {
		p.meter.Stop()
		p.meter = nil
	}
	if want && p.meter == nil {
		p.measured = t.measure()
		p.meter = p.cfg.Sources.meters.Watch(p.measured, p.changed)
	}
}

func (t *Track) measure() meterKey { return meterKey{t.Key, t.Owner, strings.Join(t.Rids, ",")} }

// rates is what was measured last, of the track that is there now.
func (p *Player) rates() readings {
	if p.meter == nil {
		return nil
	}
	r, _ := p.meter.Latest()
	return r
}

// learn notes the sizes that were measured and forgets those of layers that are no more.
func (p *Player) learn() {
	t := p.scene.Video
	if t == nil {
		return
	}
	for rid := range p.sizes {
		if !slices.Contains(named(t.Rids), rid) {
			delete(p.sizes, rid)
		}
	}
	for rid, r := range p.rates() {
		if r.Width > 0 {
			p.sizes[rid] = layer.Layer{Rid: rid, Width: r.Width, Height: r.Height}
		}
	}
}

// rank notes which layers are below the chosen one, for when that is not there.
func (p *Player) rank(rids []string) {
	if n := slices.Index(rids, p.wish.Rid); n >= 0 {
		p.below = rids[n+1:]
	}
}

// known gives the layers with their sizes, as far as they are known.
func (p *Player) known(rids []string) []layer.Layer {
	list := make([]layer.Layer, len(rids))
	for i, rid := range rids {
		list[i] = p.sizes[rid]
		list[i].Rid = rid
	}
	return list
}

// layers is what the event of that name says.
func (p *Player) layers() map[int][]board.Layer {
	out := map[int][]board.Layer{}
	for _, at := range p.cfg.Videos {
		out[at] = []board.Layer{}
	}
	t := p.scene.Video
	if t == nil || !t.Playing {
		return out
	}
	rates := p.rates()
	for _, l := range p.known(named(t.Rids)) {
		e := board.Layer{Rid: l.Rid, Width: l.Width, Height: l.Height, Bitrate: rates[l.Rid].bitrate}
		if l.Rid == "" {
			e.Spatial, e.Temporal = new(int), new(int)
		}
		out[t.At] = append(out[t.At], e)
	}
	return out
}
