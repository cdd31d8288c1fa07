package nodecall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"weever/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 10 * time.Second

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectBufSize(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func newCalls(t *testing.T, url, instance string) *Calls {
	t.Helper()
	c, err := New(connect(t, url), "test", instance, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve runs c until stop is called or the test ends, and returns when it can be reached.
func serve(t *testing.T, c *Calls) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-c.Ready():
	case <-time.After(limit):
		t.Fatal("not ready")
	}
	return stop
}

func handle(t *testing.T, c *Calls, verb string, fn Handler) {
	t.Helper()
	if err := c.Handle(verb, fn); err != nil {
		t.Fatal(err)
	}
}

// TestCalls asks over a cluster, from a server that the other node is not connected to.
func TestCalls(t *testing.T) {
	cluster := testkit.NATSCluster(t, 2)
	here, there := newCalls(t, cluster[0].URL, "aaaa"), newCalls(t, cluster[1].URL, "bbbb")
	handle(t, there, "echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	handle(t, there, "nothing", func(context.Context, []byte) ([]byte, error) { return nil, nil })
	handle(t, there, "refuse", func(context.Context, []byte) ([]byte, error) {
		return []byte("not sent"), fmt.Errorf("wrapped: %w", &RemoteError{"no-session"})
	})
	handle(t, there, "fail", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("secret of the node") })
	handle(t, there, "huge", func(context.Context, []byte) ([]byte, error) { return make([]byte, 2<<20), nil })
	handle(t, there, "talkative", func(context.Context, []byte) ([]byte, error) {
		return nil, &RemoteError{strings.Repeat("x", 1000)}
	})
	serve(t, there)
	for _, tc := range []struct {
		verb, req, want, code string
	}{
		{"echo", "hello", "hello", ""},
		{"echo", "", "", ""},
		{"nothing", "x", "", ""},
		{"refuse", "x", "", "no-session"},
		{"fail", "x", "", Failed},
		{"huge", "x", "", Failed},
		{"talkative", "x", "", strings.Repeat("x", maxCode)},
		{"other", "x", "", UnknownVerb},
	} {
		got, err := here.Call(t.Context(), "bbbb", tc.verb, []byte(tc.req))
		var remote *RemoteError
		switch {
		case tc.code == "" && (err != nil || string(got) != tc.want):
			t.Errorf("%s: %q, %v, want %q", tc.verb, got, err, tc.want)
		case tc.code != "" && (!errors.As(err, &remote) || remote.Code != tc.code || got != nil):
			t.Errorf("%s: %q, %v, want code %q", tc.verb, got, err, tc.code)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the other node's error came over: %v", tc.verb, err)
		}
	}
	big := bytes.Repeat([]byte("b"), 900<<10)
	if got, err := here.Call(t.Context(), "bbbb", "echo", big); err != nil || !bytes.Equal(got, big) {
		t.Errorf("900 KB: %d bytes, %v", len(got), err)
	}
	// A node can ask itself.
	if got, err := there.Call(t.Context(), "bbbb", "echo", []byte("me")); err != nil || string(got) != "me" {
		t.Errorf("itself: %q, %v", got, err)
	}
}

func TestNobodyThere(t *testing.T) {
	url := testkit.NATS(t)
	here, there := newCalls(t, url, "aaaa"), newCalls(t, url, "bbbb")
	handle(t, there, "echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	ask := func() error {
		_, err := here.Call(t.Context(), "bbbb", "echo", nil)
		return err
	}
	if err := ask(); !errors.Is(err, ErrNoNode) {
		t.Errorf("before Run: %v", err)
	}
	stop := serve(t, there)
	if err := ask(); err != nil {
		t.Errorf("while it runs: %v", err)
	}
	stop()
	if err := there.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := ask(); !errors.Is(err, ErrNoNode) {
		t.Errorf("after Run: %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	url := testkit.NATS(t)
	here, there := newCalls(t, url, "aaaa"), newCalls(t, url, "bbbb")
	release := make(chan struct{})
	handle(t, there, "wait", func(ctx context.Context, _ []byte) ([]byte, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	})
	serve(t, there)
	short, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := here.Call(short, "bbbb", "wait", nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("past the deadline: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := here.Call(cancelled, "bbbb", "wait", nil)
		asked <- err
	}()
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(release)
}

// TestEnd: when serving ends, handlers are told, and waited for.
func TestEnd(t *testing.T) {
	url := testkit.NATS(t)
	here, there := newCalls(t, url, "aaaa"), newCalls(t, url, "bbbb")
	began, ended := make(chan struct{}), make(chan struct{})
	handle(t, there, "wait", func(ctx context.Context, _ []byte) ([]byte, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, &RemoteError{"ended"}
	})
	stop := serve(t, there)
	asked := make(chan error, 1)
	go func() {
		_, err := here.Call(t.Context(), "bbbb", "wait", nil)
		asked <- err
	}()
	<-began
	stop()
	select {
	case <-ended:
	default:
		t.Error("Run did not wait for the handler")
	}
	var remote *RemoteError
	if err := <-asked; !errors.As(err, &remote) || remote.Code != "ended" {
		t.Errorf("the caller got %v", err)
	}
}

// TestBusy: as many calls as there are slots are served, the next is refused at once, and others are served afterwards.
func TestBusy(t *testing.T) {
	url := testkit.NATS(t)
	here, there := newCalls(t, url, "aaaa"), newCalls(t, url, "bbbb")
	began, release := make(chan struct{}), make(chan struct{})
	handle(t, there, "wait", func(context.Context, []byte) ([]byte, error) {
		began <- struct{}{}
		<-release
		return nil, nil
	})
	serve(t, there)
	var calls sync.WaitGroup
	for range maxRunning {
		calls.Go(func() {
			if _, err := here.Call(t.Context(), "bbbb", "wait", nil); err != nil {
				t.Error(err)
			}
		})
	}
	for range maxRunning {
		<-began
	}
	var remote *RemoteError
	if _, err := here.Call(t.Context(), "bbbb", "wait", nil); !errors.As(err, &remote) || remote.Code != Busy {
		t.Errorf("one too many: %v", err)
	}
	close(release)
	calls.Wait()
	go func() { <-began }()
	if _, err := here.Call(t.Context(), "bbbb", "wait", nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestOutage: while the bus is away a call fails and says so; when it is back all goes on by itself.
func TestOutage(t *testing.T) {
	node := testkit.NATSCluster(t, 1)[0]
	here, there := newCalls(t, node.URL, "aaaa"), newCalls(t, node.URL, "bbbb")
	handle(t, there, "echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	serve(t, there)
	lost := here.nc.StatusChanged(nats.RECONNECTING)
	node.Stop()
	select {
	case <-lost:
	case <-time.After(limit):
		t.Fatal("the connection was not lost")
	}
	if _, err := here.Call(t.Context(), "bbbb", "echo", nil); !errors.Is(err, ErrNoBus) {
		t.Errorf("without a bus: %v", err)
	}
	node.Start()
	end := time.After(limit)
	for {
		got, err := here.Call(t.Context(), "bbbb", "echo", []byte("again"))
		if err == nil && string(got) == "again" {
			return
		}
		select {
		case <-end:
			t.Fatalf("after the outage: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestMisuse(t *testing.T) {
	url := testkit.NATS(t)
	for _, name := range []string{"", "a.b", "a*", ">", "a b", strings.Repeat("x", 65)} {
		if _, err := New(connect(t, url), name, "aaaa", slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("namespace %q was taken", name)
		}
		if _, err := New(connect(t, url), "test", name, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("instance %q was taken", name)
		}
	}
	c := newCalls(t, url, "aaaa")
	fn := func(context.Context, []byte) ([]byte, error) { return nil, nil }
	handle(t, c, "once", fn)
	for _, verb := range []string{"once", "", "a.b", "*"} {
		if c.Handle(verb, fn) == nil {
			t.Errorf("verb %q was taken", verb)
		}
		if _, err := c.Call(t.Context(), "bbbb", verb, nil); verb != "once" && err == nil {
			t.Errorf("verb %q was called", verb)
		}
		if _, err := c.Call(t.Context(), verb, "once", nil); verb != "once" && err == nil {
			t.Errorf("instance %q was called", verb)
		}
	}
	serve(t, c)
	if c.Handle("late", fn) == nil {
		t.Error("a verb was taken after Run")
	}
}

// A process that dies with a call in its hands is noticed long before the deadline; one that is merely slow is waited for.
func TestDeathDuringACall(t *testing.T) {
	cluster := testkit.NATSCluster(t, 2)
	here, there := newCalls(t, cluster[0].URL, "aaaa"), newCalls(t, cluster[1].URL, "bbbb")
	began := make(chan struct{})
	handle(t, there, "hang", func(context.Context, []byte) ([]byte, error) {
		began <- struct{}{}
		there.nc.Close() // as the kernel does for a process that was killed
		return nil, nil
	})
	handle(t, there, "slow", func(ctx context.Context, _ []byte) ([]byte, error) {
		select {
		case <-time.After(3 * doubtAfter):
		case <-ctx.Done():
		}
		return []byte("late"), nil
	})
	serve(t, there)
	for end := time.After(limit); here.Ping(t.Context(), "bbbb") != nil; { // the servers tell each other of a subscription a little later
		select {
		case <-end:
			t.Fatal("not there")
		case <-time.After(time.Millisecond):
		}
	}
	if got, err := here.Call(t.Context(), "bbbb", "slow", nil); err != nil || string(got) != "late" {
		t.Errorf("slow: %q, %v", got, err)
	}
	go func() { <-began }()
	asked := time.Now()
	if _, err := here.Call(t.Context(), "bbbb", "hang", nil); !errors.Is(err, ErrNoNode) {
		t.Errorf("dead: %v", err)
	} else if took := time.Since(asked); took > defaultTimeout-doubtAfter {
		t.Errorf("dead: noticed after %v", took)
	}
	if err := here.Ping(t.Context(), "bbbb"); !errors.Is(err, ErrNoNode) {
		t.Errorf("ping of the dead: %v", err)
	}
	if err := here.Ping(t.Context(), "b.b"); err == nil {
		t.Error("ping of what is no name")
	}
}

// A handler that panics fails its own call and nothing else.
func TestPanic(t *testing.T) {
	url := testkit.NATS(t)
	a, b := newCalls(t, url, "aaaa"), newCalls(t, url, "bbbb")
	if err := b.Handle("boom", func(context.Context, []byte) ([]byte, error) { panic("boom") }); err != nil {
		t.Fatal(err)
	}
	if err := b.Handle("echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil }); err != nil {
		t.Fatal(err)
	}
	serve(t, a)
	serve(t, b)
	var remote *RemoteError
	if _, err := a.Call(t.Context(), "bbbb", "boom", nil); !errors.As(err, &remote) || remote.Code != Failed {
		t.Errorf("got %v", err)
	}
	if got, err := a.Call(t.Context(), "bbbb", "echo", []byte("x")); err != nil || string(got) != "x" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}
