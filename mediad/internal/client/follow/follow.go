// Package follow keeps a publisher or a subscriber in a room across sessions, as weever.js does, and measures how long each track was
// silent.
//
// It obeys RECONNECT by making a new session before it gives up the old one, and comes back when a session is lost. Tests of what
// happens to people when nodes come and go are the callers; one goroutine for each publisher or subscriber runs until Close.
package follow

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/control"
)

const (
	firstPause  = 200 * time.Millisecond // after an attempt that failed; it doubles
	lastPause   = 5 * time.Second
	openTimeout = 12 * time.Second // of one attempt
	look        = 5 * time.Millisecond
)

// Config says where to go.
type Config struct {
	client.Config
	// First is where the first session is opened, in place of URL: it lets a test choose the node. Empty: at URL, too.
	First string
	// Pulse is for how long a node may leave a PING unanswered before its session is given up; 0: until ICE gives it up.
	Pulse time.Duration
}

// line is one publisher or subscriber. S is its kind of session.
type line[S any] struct {
	cfg  Config
	open func(context.Context, client.Config) (S, error)
	base func(S) *client.Session
	// settle waits until old, which was asked to go or has ended, is needed no more. It is false when next has ended before that.
	settle  func(ctx context.Context, old, next S) bool
	overlap bool // a session is to live until the next one has taken over

	stop context.CancelFunc
	done chan struct{} // closed when all sessions are over

	mu       sync.Mutex // guards what follows
	current  S
	sessions int
	lost     int
	err      error
}

// begin opens the first session and follows it from then on.
func (l *line[S]) begin(ctx context.Context) error {
	first := l.cfg.Config
	if l.cfg.First != "" {
		first.URL = l.cfg.First
	}
	s, err := l.open(ctx, first)
	if err != nil {
		return err
	}
	l.current, l.sessions, l.done = s, 1, make(chan struct{})
	life, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.run(life, s)
	return nil
}

// Current is the session in use.
func (l *line[S]) Current() S {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// Sessions is the number of sessions that were in use so far.
func (l *line[S]) Sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions
}

// Lost is the number of sessions that ended before another one had taken over.
func (l *line[S]) Lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Err says why it has given up; nil while it has not.
func (l *line[S]) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close ends the session in use with DELETE, and waits until nothing runs any more.
func (l *line[S]) Close() {
	l.stop()
	<-l.done
}

func (l *line[S]) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost++
}

func (l *line[S]) run(ctx context.Context, s S) {
	defer close(l.done)
	for {
		if l.wait(ctx, l.base(s)); ctx.Err() != nil {
			break
		}
		lost := l.base(s).Err() != nil
		if lost {
			l.lose()
		}
		next, err := l.replace(ctx, s)
		if err != nil { // what there is is used to its end
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			<-ctx.Done()
			break
		}
		if l.overlap && !lost && over(l.base(s)) {
			l.lose()
		}
		l.base(s).Hangup()
		s = next
		l.mu.Lock()
		l.current = s
		l.sessions++
		l.mu.Unlock()
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()
	_ = l.base(s).Close(bye) // it may be over, and nobody answer
}

// wait returns when the session cannot stay as it is: it was asked to move or has ended, or ctx has.
func (l *line[S]) wait(ctx context.Context, s *client.Session) {
	if l.cfg.Pulse > 0 {
		beating, stop := context.WithCancel(ctx)
		var beat sync.WaitGroup
		beat.Go(func() { pulse(beating, s, l.cfg.Pulse) })
		defer beat.Wait()
		defer stop()
	}
	_, _ = s.Await(ctx, func(m control.Message) bool {
		_, move := m.(control.Reconnect)
		return move
	})
}

// replace makes sessions until one has taken over from old. The error says that it is no use.
func (l *line[S]) replace(ctx context.Context, old S) (next S, err error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		attempt, cancel := context.WithTimeout(ctx, openTimeout)
		next, err = l.open(attempt, l.cfg.Config)
		cancel()
		wait := pause
		var refused *client.StatusError
		switch {
		case err == nil:
			if l.settle(ctx, old, next) {
				return next, nil
			}
			l.base(next).Hangup()
		case errors.As(err, &refused):
			if refused.Status < 500 && refused.Status != http.StatusConflict && refused.Status != http.StatusTooManyRequests {
				return next, err
			}
			wait = max(wait, refused.RetryAfter)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return next, ctx.Err()
		}
	}
}

// until looks until ok says so: true then, false when next has ended or ctx has.
func until(ctx context.Context, next *client.Session, ok func() bool) bool {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-next.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// over reports whether a session has ended.
func over(s *client.Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}
