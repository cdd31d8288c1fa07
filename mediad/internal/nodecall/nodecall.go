// Package nodecall asks another node, by NATS request and reply.
//
// It is for control only: small requests, seldom. A node is addressed by its instance, the unguessable name of a process, on the
// subject <namespace>.v1.call.<instance>.<verb>; so a process that has ended has nobody listening, and its successor on the same
// machine does not get its calls. Parts of the node that can be asked (sessions, relay) register verbs; all parts ask through Call.
package nodecall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	// ErrNoNode: nobody listens under the instance: the process is gone, or has not yet begun to serve.
	ErrNoNode = errors.New("no such node on the bus")

	// ErrTimeout: the node, or the bus, did not answer before the deadline.
	ErrTimeout = errors.New("the node did not answer in time")

	// ErrNoBus: this process itself has no connection to the bus at the moment; it says nothing about the node.
	ErrNoBus = errors.New("no connection to the bus")
)

// RemoteError is an error that the other node answered with. A handler that returns one chooses the code; any other error of a
// handler arrives as code Failed, its text stays in the log of the node where it happened.
type RemoteError struct{ Code string }

func (e *RemoteError) Error() string { return "the other node refused: " + e.Code }

// Codes that nodecall itself answers with.
const (
	Busy        = "busy"         // too many calls at once
	UnknownVerb = "unknown-verb" // nothing registered: another version?
	Failed      = "failed"       // the handler failed
)

const (
	maxRunning     = 64              // calls served at once
	maxPending     = 512             // calls waiting to be looked at
	defaultTimeout = 2 * time.Second // of Call, when ctx has no deadline
	serveTimeout   = 5 * time.Second // of a handler
	announceAgain  = 100 * time.Millisecond
	doubtAfter     = 500 * time.Millisecond // without an answer, and the next time: does the node live?
	maxCode        = 64

	verbPing = "ping" // answered with nothing
)

// The first byte of a reply says what follows.
const (
	replyOK    = 0 // the answer
	replyError = 1 // a code
)

// Handler answers one call. req is its own. ctx ends after five seconds or when serving ends.
type Handler func(ctx context.Context, req []byte) ([]byte, error)

var token = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Calls asks other nodes and answers them. Call may be used by any goroutine, before and while Run serves.
type Calls struct {
	nc       *nats.Conn
	prefix   string // "<namespace>.v1.call."
	instance string
	log      *slog.Logger
	ready    chan struct{}
	slots    chan struct{} // one taken per running handler

	made, served counters
	lost         lost

	mu       sync.Mutex
	handlers map[string]Handler
	serving  bool
}

// New returns Calls for the process called instance. It does not own nc, which should be the control connection.
func New(nc *nats.Conn, namespace, instance string, log *slog.Logger) (*Calls, error) {
	if !token.MatchString(namespace) || !token.MatchString(instance) {
		return nil, errors.New("nodecall: namespace and instance must be 1 to 64 characters of A-Z a-z 0-9 _ -")
	}
	return &Calls{
		nc: nc, prefix: namespace + ".v1.call.", instance: instance, log: log,
		ready: make(chan struct{}), slots: make(chan struct{}, maxRunning),
		handlers: map[string]Handler{verbPing: func(context.Context, []byte) ([]byte, error) { return nil, nil }},
	}, nil
}

// Handle registers fn for a verb. It must be called before Run.
func (c *Calls) Handle(verb string, fn Handler) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !token.MatchString(verb):
		return fmt.Errorf("nodecall: verb %q must be 1 to 64 characters of A-Z a-z 0-9 _ -", verb)
	case c.serving:
		return fmt.Errorf("nodecall: verb %q comes after Run", verb)
	case c.handlers[verb] != nil:
		return fmt.Errorf("nodecall: verb %q is registered already", verb)
	}
	c.handlers[verb] = fn
	return nil
}

// Ready is closed when other nodes can reach this one.
func (c *Calls) Ready() <-chan struct{} { return c.ready }

// Run serves calls until ctx ends, then ends the handlers' contexts and waits for them. It returns an error only if it cannot
// subscribe; a connection that is lost and found again does not end it. Run it once.
func (c *Calls) Run(ctx context.Context) error {
	c.mu.Lock()
	c.serving = true
	c.mu.Unlock()
	in := make(chan *nats.Msg, maxPending)
	sub, err := c.nc.ChanSubscribe(c.prefix+c.instance+".*", in)
	if err != nil {
		return fmt.Errorf("subscribe to calls: %w", err)
	}
	c.lost.of(sub)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer func() { _ = sub.Unsubscribe() }()
	handlers.Go(func() { c.announce(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-in:
			c.dispatch(ctx, m, &handlers)
		}
	}
}

// announce closes ready when the server knows the subscription.
func (c *Calls) announce(ctx context.Context) {
	again := time.NewTicker(announceAgain)
	defer again.Stop()
	for {
		flush, cancel := context.WithTimeout(ctx, defaultTimeout)
		err := c.nc.FlushWithContext(flush)
		cancel()
		if err == nil {
			close(c.ready)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C: // not connected yet
		}
	}
}

// dispatch starts the handler of one call, or refuses it.
func (c *Calls) dispatch(ctx context.Context, m *nats.Msg, handlers *sync.WaitGroup) {
	verb := m.Subject[len(c.prefix)+len(c.instance)+1:]
	fn := c.handlers[verb] // Handle is not called any more
	if fn == nil {
		c.reply(m, nil, &RemoteError{UnknownVerb})
		return
	}
	select {
	case c.slots <- struct{}{}:
	default:
		c.reply(m, nil, &RemoteError{Busy})
		return
	}
	handlers.Go(func() {
		defer func() { <-c.slots }()
		ctx, cancel := context.WithTimeout(ctx, serveTimeout)
		defer cancel()
		answer, err := guarded(ctx, fn, m.Data)
		var remote *RemoteError
		if err != nil && !errors.As(err, &remote) {
			c.log.Error("a call of another node failed", "verb", verb, "err", err)
			err = &RemoteError{Failed}
		}
		c.reply(m, answer, err)
	})
}

// guarded makes an error of a handler's panic, as net/http does: a request that another node passed on must not do more harm than one
// that came straight.
func guarded(ctx context.Context, fn Handler, req []byte) (answer []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return fn(ctx, req)
}

// reply sends the envelope. A caller that is gone does not read it.
func (c *Calls) reply(m *nats.Msg, answer []byte, err error) {
	c.served.add(err)
	if m.Reply == "" {
		return
	}
	envelope := make([]byte, 0, 1+maxCode+len(answer))
	var remote *RemoteError
	switch {
	case errors.As(err, &remote):
		envelope = append(append(envelope, replyError), remote.Code[:min(len(remote.Code), maxCode)]...)
	case int64(len(answer)) >= c.nc.MaxPayload():
		c.log.Error("an answer to another node is longer than the bus allows", "subject", m.Subject, "bytes", len(answer))
		envelope = append(append(envelope, replyError), Failed...)
	default:
		envelope = append(append(envelope, replyOK), answer...)
	}
	if err := m.Respond(envelope); err != nil { // a node that stood still has hundreds of them, all too late
		c.log.Debug("cannot answer another node", "subject", m.Subject, "err", err)
	}
}

// Call asks instance and waits for the answer until ctx ends, two seconds if it has no deadline. A process that dies before it has
// answered is noticed earlier. The error wraps ErrNoNode, ErrTimeout, ErrNoBus, a *RemoteError, or ctx's own if it was cancelled.
func (c *Calls) Call(ctx context.Context, instance, verb string, req []byte) ([]byte, error) {
	if !token.MatchString(instance) || !token.MatchString(verb) {
		return nil, fmt.Errorf("call %q: not a name of a process and a verb", verb)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var doubt sync.WaitGroup
	defer doubt.Wait()
	defer cancel(nil)
	doubt.Go(func() { c.doubt(ctx, instance, cancel) })
	answer, err := c.request(ctx, instance, verb, req)
	if err != nil && errors.Is(context.Cause(ctx), ErrNoNode) {
		return nil, fmt.Errorf("call %s: %w", verb, ErrNoNode)
	}
	return answer, err
}

// doubt breaks off a call whose process has died meanwhile, which the bus does not say of itself. It ends with ctx.
func (c *Calls) doubt(ctx context.Context, instance string, breakOff context.CancelCauseFunc) {
	again := time.NewTicker(doubtAfter)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		if errors.Is(c.Ping(ctx, instance), ErrNoNode) {
			breakOff(ErrNoNode)
			return
		}
	}
}

// Ping asks whether instance lives, and waits until ctx ends, two seconds if it has no deadline: nil when it answered, whatever it
// said, else an error as of Call.
func (c *Calls) Ping(ctx context.Context, instance string) error {
	if !token.MatchString(instance) {
		return errors.New("ping: not a name of a process")
	}
	_, err := c.request(ctx, instance, verbPing, nil)
	if remote := new(RemoteError); errors.As(err, &remote) {
		return nil
	}
	return err
}

// request asks, waits and counts.
func (c *Calls) request(ctx context.Context, instance, verb string, req []byte) ([]byte, error) {
	answer, err := c.exchange(ctx, instance, verb, req)
	if !errors.Is(err, context.Canceled) { // then nobody waited for the end
		c.made.add(err)
	}
	return answer, err
}

// exchange sends a request and reads the answer to it.
func (c *Calls) exchange(ctx context.Context, instance, verb string, req []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	m, err := c.nc.RequestWithContext(ctx, c.prefix+instance+"."+verb, req)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("call %s: %w", verb, ErrNoNode)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return nil, fmt.Errorf("call %s: %w", verb, ErrTimeout)
	case err != nil && !c.nc.IsConnected():
		return nil, fmt.Errorf("call %s: %w: %w", verb, ErrNoBus, err)
	case err != nil:
		return nil, fmt.Errorf("call %s: %w", verb, err)
	case len(m.Data) > 0 && m.Data[0] == replyOK:
		return m.Data[1:], nil
	case len(m.Data) > 0 && m.Data[0] == replyError:
		return nil, fmt.Errorf("call %s: %w", verb, &RemoteError{string(m.Data[1:min(len(m.Data), 1+maxCode)])})
	}
	return nil, fmt.Errorf("call %s: %w", verb, &RemoteError{Failed})
}
