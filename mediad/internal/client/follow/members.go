package follow

import (
	"context"
	"time"

	"weever/mediad/internal/client"
)

const (
	handover = 15 * time.Second // in which the node puts a publisher's new session in the place of the old one
	grace    = 10 * time.Second // in which a new session shows what the old one does
	idle     = time.Second      // a track of the old session that has brought nothing for so long is not waited for
)

// Publisher publishes, on one session after the other. Each sends the same kinds of tracks, from sources of their own.
type Publisher struct {
	line[*client.Publisher]
}

// Publish opens the first session, for which ctx holds, and follows.
func Publish(ctx context.Context, cfg Config, tracks ...client.Track) (*Publisher, error) {
	p := &Publisher{line[*client.Publisher]{
		cfg: cfg,
		open: func(ctx context.Context, c client.Config) (*client.Publisher, error) {
			return client.Publish(ctx, c, tracks...)
		},
		base: func(p *client.Publisher) *client.Session { return p.Session },
		// The node ends the old session when the new one is live. To close it before that would say that we left.
		settle: func(ctx context.Context, old, next *client.Publisher) bool {
			ctx, cancel := context.WithTimeout(ctx, handover)
			defer cancel()
			return until(ctx, next.Session, func() bool { return over(old.Session) })
		},
	}}
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Subscriber receives a room, on one session after the other.
type Subscriber struct {
	line[*client.Subscriber]
	meter
}

// Subscribe opens the first session, for which ctx holds, and follows. See client.Subscribe for audio and video.
func Subscribe(ctx context.Context, cfg Config, audio, video int) (*Subscriber, error) {
	s := &Subscriber{meter: meter{tracks: map[track]*watched{}}}
	cfg.Arrived = s.note
	s.line = line[*client.Subscriber]{
		cfg: cfg,
		open: func(ctx context.Context, c client.Config) (*client.Subscriber, error) {
			return client.Subscribe(ctx, c, audio, video)
		},
		base:    func(s *client.Subscriber) *client.Session { return s.Session },
		settle:  settleSubscriber,
		overlap: true,
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// settleSubscriber waits until the new session plays all that the old one does.
func settleSubscriber(ctx context.Context, old, next *client.Subscriber) bool {
	late := time.Now().Add(grace)
	return until(ctx, next.Session, func() bool {
		if over(old.Session) || time.Now().After(late) {
			return true
		}
		for _, was := range old.Tracks() {
			is, _ := next.Track(was.Pub, was.ID)
			if was.Active && time.Since(was.LastAt) < idle && is.KeyAt.IsZero() {
				return false
			}
		}
		return true
	})
}
