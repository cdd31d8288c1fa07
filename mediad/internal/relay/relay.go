// Package relay carries a stream from the publisher's node to the nodes that watch it.
//
//	owner's node:   Stream → sender → outbox ─ media connection ─┐
//	                  ↑ lease, replay, key frame                 │ <namespace>.v1.rtp.<room>.<publisher>.<inc>.<track>.<layer>
//	viewer's node:  remote ─ node calls ─┘   Stream ← remote ←───┘
//
// Sessions publish the streams of their publishers and open those that their viewers watch; where a stream comes from is hidden here.
// Nothing is put on the bus before another node holds a lease on it: a room whose members sit on one node stays off the bus. A node
// has one subscription per stream however many viewers, and of a new stream first fetches the owner's cached key frame and all that
// followed, by node calls, so that its viewers start at once even if the publisher never answers a wish for a key frame.
package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/relay/batch"
	"weever/mediad/internal/relay/tally"
	"weever/shared/room"
)

var (
	// ErrClosed: the relay's Run has ended.
	ErrClosed = errors.New("relay has ended")

	// ErrNotPublished: the key belongs to this very process, which does not publish it (any more).
	ErrNotPublished = errors.New("this node does not publish the stream")
)

// The verbs of node calls.
const (
	verbInterest = "interest" // hold a lease, renew it, end it
	verbReplay   = "replay"   // read the cached key frame and what followed
	verbKeyframe = "keyframe" // ask the publisher for a key frame
	verbMeter    = "meter"    // read the counters
)

// unknownStream is the code of a call about a stream that its owner does not publish.
const unknownStream = "unknown-stream"

const (
	maxTTL       = 10 * time.Second
	defaultRenew = 3 * time.Second
)

// Config is what a Relay needs. Both connections should be made without a reconnect buffer (nats.ReconnectBufSize(-1)), or what
// could not be sent during an outage is sent after it.
type Config struct {
	Media     *nats.Conn      // carries media and nothing else
	Calls     *nodecall.Calls // on another connection; its Run must start after New
	Namespace string
	Instance  string          // of this process, as in room.Owner
	Writers   *fanout.Writers // hand on what comes from other nodes; may be nil, as of fanout.StreamConfig
	Log       *slog.Logger
	Open      func() bool // asked before each message of media whether this node may send it; it must not block. Nil: it may.

	// Hop is told half the time that each renewal of a lease took: to the owner of a stream and back, over the control connection. The
	// clocks of two machines cannot tell more. It must not block. Nil: nobody wants to know.
	Hop func(time.Duration)

	TTL   time.Duration // of a lease; 0: ten seconds, which is also the most
	Renew time.Duration // time between renewals, less than half of TTL; 0: three seconds
}

// Relay is the node's part in carrying streams. All methods may be called by any goroutine.
type Relay struct {
	cfg    Config
	prefix string
	count  batch.Counters
	asked  atomic.Uint64 // key frames, by other nodes
	out    *batch.Outbox

	streams tally.Book
	ctx     context.Context // ends all that Run waits for
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu           sync.Mutex
	publications map[string]*publication // by subject
	remotes      map[string]*remote      // by subject
	opened       uint64                  // remotes ever made: tells their leases apart
	closed       bool
}

// New registers the relay's verbs with cfg.Calls. Nothing moves before Run.
func New(cfg Config) (*Relay, error) {
	if cfg.TTL == 0 {
		cfg.TTL = maxTTL
	}
	if cfg.Renew == 0 {
		cfg.Renew = defaultRenew
	}
	if cfg.Hop == nil {
		cfg.Hop = func(time.Duration) {}
	}
	switch {
	case cfg.Media == nil || cfg.Calls == nil || cfg.Log == nil:
		return nil, errors.New("relay: Media, Calls and Log are needed")
	case cfg.Namespace == "" || cfg.Instance == "":
		return nil, errors.New("relay: Namespace and Instance are needed")
	case cfg.TTL < 0 || cfg.TTL > maxTTL || cfg.Renew < 0 || 2*cfg.Renew >= cfg.TTL:
		return nil, fmt.Errorf("relay: TTL must be at most %v and more than twice Renew", maxTTL)
	}
	r := &Relay{
		cfg: cfg, prefix: cfg.Namespace + ".v1.rtp.",
		publications: make(map[string]*publication), remotes: make(map[string]*remote),
	}
	r.out = batch.NewOutbox(cfg.Media, &r.count, cfg.Open)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for verb, fn := range map[string]func(call) ([]byte, error){
		verbInterest: r.serveInterest, verbReplay: r.serveReplay, verbKeyframe: r.serveKeyframe,
		verbMeter: r.serveMeter,
	} {
		if err := cfg.Calls.Handle(verb, decodeCall(fn)); err != nil {
			return nil, fmt.Errorf("relay: %w", err)
		}
	}
	return r, nil
}

// call is the request of all verbs.
type call struct {
	Subject string        `json:"subject"`
	Lease   string        `json:"lease,omitempty"`  // interest: who asks, as "<instance>.<number>"
	TTL     int64         `json:"ttl_ms,omitempty"` // interest: 0 ends the lease
	Cursor  fanout.Cursor `json:"cursor,omitempty"` // replay: where to go on
}

func decodeCall(fn func(call) ([]byte, error)) nodecall.Handler {
	return func(_ context.Context, req []byte) ([]byte, error) {
		var c call
		if err := json.Unmarshal(req, &c); err != nil {
			return nil, fmt.Errorf("request cannot be read: %w", err)
		}
		return fn(c)
	}
}

// Run moves media and watches over leases until ctx ends; then it gives back what this node held of others, at most one second, and
// waits for all that the relay started. Run it once.
func (r *Relay) Run(ctx context.Context) error {
	r.work.Go(func() { r.out.Run(r.ctx) })
	tick := time.NewTicker(r.cfg.TTL / 10)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			r.expire(now)
		case <-ctx.Done():
			r.stop()
			r.work.Wait()
			return nil
		}
	}
}

func (r *Relay) stop() {
	r.mu.Lock()
	r.closed = true
	for _, p := range r.publications {
		p.stopSending()
	}
	clear(r.publications)
	r.mu.Unlock()
	r.cancel()
}

// Open returns a handle on the stream of key: that of this node if it is published here, else one fed over the bus. owner is who
// publishes it, track says how it is coded. It never waits: packets come when they come, for as long as the handle is open. The
// owner need not be there yet.
func (r *Relay) Open(key Key, owner room.Owner, track room.Track) (*Handle, error) {
	subject, err := key.subject(r.prefix)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	if p := r.publications[subject]; p != nil {
		return &Handle{stream: p.stream}, nil
	}
	if owner.Instance == r.cfg.Instance {
		return nil, ErrNotPublished
	}
	m := r.remotes[subject]
	if m == nil {
		if m, err = newRemote(r, key, subject, owner.Instance, track); err != nil {
			return nil, err
		}
		r.remotes[subject] = m
		r.work.Go(m.run)
	}
	m.handles++
	return &Handle{stream: m.stream, remote: m}, nil
}

// Handle is one viewer's hold on a stream.
type Handle struct {
	stream *fanout.Stream
	remote *remote // nil: a stream of this node
	once   sync.Once
}

// Stream returns the stream. It is the same for all handles of a key on this node, and must not be written to or closed.
func (h *Handle) Stream() *fanout.Stream { return h.stream }

// Close gives up the hold. With the last one of a key the stream is closed and the bus left. It does not block; calling it again
// does nothing.
func (h *Handle) Close() {
	if h.remote != nil {
		h.once.Do(h.remote.leave)
	}
}
