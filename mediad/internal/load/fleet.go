package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/histogram"
)

// closeLimit bounds the ending of one session.
const closeLimit = 5 * time.Second

// fleet is everybody that one Run has opened.
type fleet struct {
	cfg    Config       // fixed, as http
	http   *http.Client // of all sessions
	errors *tally

	mu      sync.Mutex // guards all below
	pubs    []*client.Publisher
	subs    []viewer
	pubJoin joins
	subJoin joins
	names   map[string][]string // ids of the publishers that joined, by room
}

// viewer is one subscriber that has joined.
type viewer struct {
	*client.Subscriber
	room   string
	posted time.Time
}

// joins counts attempts to join.
type joins struct {
	wanted, failed, retries int
	took                    histogram.Histogram // POST → connected for publishers, → first packet for subscribers
}

// rooms lists the names of the rooms.
func (f *fleet) rooms() []string {
	if f.cfg.Rooms == 1 {
		return []string{f.cfg.Room}
	}
	var names []string
	for i := range f.cfg.Rooms {
		names = append(names, fmt.Sprintf("%s-%d", f.cfg.Room, i+1))
	}
	return names
}

// session is the configuration of one session. Ids get a random part: several generators may load one room.
func (f *fleet) session(template, room, id string) client.Config {
	cfg := client.Config{URL: f.cfg.URL, Room: room, ID: id, Token: f.cfg.Token, HTTP: f.http, TCP: f.cfg.TCP}
	if template != "" {
		cfg.Endpoint = strings.NewReplacer("{room}", url.PathEscape(room), "{id}", url.PathEscape(id)).Replace(template)
	}
	cfg.LoopbackOnly = loopback(cfg.URL + cfg.Endpoint)
	return cfg
}

func newID(kind string, i int) string {
	return fmt.Sprintf("%s%d-%06x", kind, i, rand.Uint32()&0xffffff)
}

// publish opens all publishers and returns when each has joined or failed.
func (f *fleet) publish(ctx context.Context) {
	f.names = make(map[string][]string)
	var tracks []client.Track
	if !f.cfg.NoVideo {
		tracks = append(tracks, f.cfg.camera())
	}
	if !f.cfg.NoAudio {
		tracks = append(tracks, f.cfg.microphone())
	}
	f.each(f.cfg.Pubs, func(room string, i int) {
		id := newID("pub", i)
		cfg := f.session(f.cfg.PubURL, room, id)
		cfg.NoControl = f.cfg.PubURL != "" // not ours: plain WHIP
		var p *client.Publisher
		begin := time.Now()
		retries, err := f.patiently(ctx, func(ctx context.Context) (err error) {
			begin = time.Now()
			p, err = client.Publish(ctx, cfg, tracks...)
			return err
		})
		took := time.Since(begin)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.pubJoin.wanted++
		f.pubJoin.retries += retries
		if err != nil {
			f.pubJoin.failed++
			f.errors.add("publishing", err)
			return
		}
		f.pubJoin.took.Record(took)
		f.pubs = append(f.pubs, p)
		f.names[room] = append(f.names[room], id)
	})
}

// subscribe opens so many subscribers of each room and returns when each has had its first packet or failed.
func (f *fleet) subscribe(ctx context.Context, perRoom int) {
	audio, video := f.cfg.Sections, f.cfg.Sections
	if f.cfg.NoAudio {
		audio = 0
	}
	if f.cfg.NoVideo {
		video = 0
	}
	f.each(perRoom, func(room string, i int) {
		f.mu.Lock()
		names := f.names[room]
		f.mu.Unlock()
		id := newID("sub", i)
		if f.cfg.Meeting {
			if i >= len(names) {
				return // who could not publish does not watch
			}
			id = names[i]
		}
		cfg := f.session(f.cfg.SubURL, room, id)
		cfg.NoControl = f.cfg.WHEP || f.cfg.SubURL != ""
		if f.cfg.WHEP && f.cfg.SubURL == "" && len(names) > 0 {
			cfg.Query = url.Values{"pub": {names[i%len(names)]}}
		}
		var s *client.Subscriber
		begin := time.Now()
		retries, err := f.patiently(ctx, func(ctx context.Context) (err error) {
			begin = time.Now()
			if s, err = client.Subscribe(ctx, cfg, audio, video); err != nil {
				return err
			}
			if err = s.AwaitMedia(ctx); err != nil {
				f.end(s.Session)
			}
			return err
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		f.subJoin.wanted++
		f.subJoin.retries += retries
		if err != nil {
			f.subJoin.failed++
			f.errors.add("subscribing", err)
			return
		}
		f.subJoin.took.Record(s.FirstPacketAt().Sub(begin))
		f.subs = append(f.subs, viewer{s, room, begin})
	})
}

// each calls open for every session, cfg.Parallel at a time, the rooms taking turns.
func (f *fleet) each(perRoom int, open func(room string, i int)) {
	var g errgroup.Group
	g.SetLimit(f.cfg.Parallel)
	for i := range perRoom {
		for _, room := range f.rooms() {
			g.Go(func() error {
				open(room, i)
				return nil
			})
		}
	}
	_ = g.Wait() // they count their failures themselves
}

// patiently tries to join until it succeeds, fails for good, or the limit is over. A server that says when to come again is
// obeyed: publishers that have just joined are not live yet, and a full node says so.
func (f *fleet) patiently(ctx context.Context, join func(context.Context) error) (retries int, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.JoinLimit)
	defer cancel()
	for ; ; retries++ {
		err = join(ctx)
		var status *client.StatusError
		if err == nil || !errors.As(err, &status) || status.RetryAfter <= 0 {
			break
		}
		select {
		case <-time.After(status.RetryAfter):
		case <-ctx.Done():
			return retries, err
		}
	}
	if err != nil {
		f.cfg.Log.Debug("a session could not be opened", "err", err)
	}
	return retries, err
}

// close ends everybody and waits for it.
func (f *fleet) close() {
	f.mu.Lock()
	var all []*client.Session
	for _, p := range f.pubs {
		all = append(all, p.Session)
	}
	for _, s := range f.subs {
		all = append(all, s.Session)
	}
	f.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(f.cfg.Parallel)
	for _, s := range all {
		g.Go(func() error {
			f.end(s)
			return nil
		})
	}
	_ = g.Wait()
}

// end closes one session politely, whatever became of the run's context.
func (f *fleet) end(s *client.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	_ = s.Close(ctx) // it may be gone already
}
