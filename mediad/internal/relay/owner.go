package relay

import (
	"fmt"
	"time"

	"weever/mediad/internal/fanout"
	"weever/mediad/internal/nodecall"
	"weever/mediad/internal/relay/batch"
	"weever/mediad/internal/relay/tally"
)

const (
	maxLeases   = 1024      // per stream: one per node that watches it
	replayChunk = 192 << 10 // bytes
)

// publication is a stream of this node that others may ask for. It is guarded by the relay's mutex.
type publication struct {
	subject string
	track   Key // without its layer
	stream  *fanout.Stream
	leases  map[string]time.Time // who wants it → until when
	sender  *batch.Sender        // nil: nobody does
	detach  func()
}

// Publish lets other nodes ask for stream until unpublish is called. The stream stays the caller's, who closes it afterwards.
func (r *Relay) Publish(key Key, stream *fanout.Stream) (unpublish func(), err error) {
	subject, err := key.subject(r.prefix)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	if r.publications[subject] != nil {
		return nil, fmt.Errorf("%w: published already", ErrKey)
	}
	key.Layer = ""
	p := &publication{subject: subject, track: key, stream: stream, leases: make(map[string]time.Time)}
	r.publications[subject] = p
	forget := r.streams.Enter(tally.Local, stream)
	return func() {
		defer forget()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.publications[subject] == p {
			p.stopSending()
			delete(r.publications, subject)
		}
	}, nil
}

// serveInterest takes, renews or ends a lease.
func (r *Relay) serveInterest(c call) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.publications[c.Subject]
	if p == nil {
		return nil, &nodecall.RemoteError{Code: unknownStream}
	}
	now := time.Now()
	ttl := min(time.Duration(min(max(c.TTL, 0), maxTTL.Milliseconds()))*time.Millisecond, maxTTL)
	if ttl == 0 {
		delete(p.leases, c.Lease)
	} else if _, known := p.leases[c.Lease]; known || len(p.leases) < maxLeases {
		p.leases[c.Lease] = now.Add(ttl)
	} else {
		return nil, &nodecall.RemoteError{Code: nodecall.Busy}
	}
	r.settle(p, now)
	return nil, nil
}

// settle drops leases that are over, and sends or stops sending accordingly; the caller holds mu.
func (r *Relay) settle(p *publication, now time.Time) {
	var until time.Time
	for lease, end := range p.leases {
		if !now.Before(end) {
			delete(p.leases, lease)
		} else if end.After(until) {
			until = end
		}
	}
	if len(p.leases) == 0 {
		p.stopSending()
		return
	}
	fresh := p.sender == nil
	if fresh {
		p.sender = batch.NewSender(r.out, p.subject, p.stream.Video())
	}
	p.sender.Lease(until)
	if fresh {
		p.detach = p.stream.AttachLive(p.sender)
	}
}

// stopSending leaves the bus; the caller holds the relay's mu.
func (p *publication) stopSending() {
	if p.sender == nil {
		return
	}
	p.detach()
	p.sender.Close()
	p.sender, p.detach = nil, nil
}

// expire ends leases that were not renewed.
func (r *Relay) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publications {
		r.settle(p, now)
	}
}

// find returns the stream of a call.
func (r *Relay) find(subject string) (*fanout.Stream, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.publications[subject]; p != nil {
		return p.stream, nil
	}
	return nil, &nodecall.RemoteError{Code: unknownStream}
}

// serveKeyframe passes a wish on; the stream gathers those of all nodes and viewers.
func (r *Relay) serveKeyframe(c call) ([]byte, error) {
	stream, err := r.find(c.Subject)
	if err == nil {
		r.asked.Add(1)
		stream.RequestKeyframe()
	}
	return nil, err
}

// serveReplay answers with a piece of the past.
func (r *Relay) serveReplay(c call) ([]byte, error) {
	stream, err := r.find(c.Subject)
	if err != nil {
		return nil, err
	}
	return batch.Past(stream, c.Cursor, min(replayChunk, int(r.cfg.Media.MaxPayload())/2)), nil
}
