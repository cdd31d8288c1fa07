package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/arrival"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/testkit/netns"
)

// This file lets a test run its clients on another machine: a network namespace, which a process can only be in as a whole. So the
// test binary is started once more there, as a server of calls on its standard input and output.

// insideEnv makes the test binary serve calls in place of running tests.
const insideEnv = "WEEVER_TEST_INSIDE"

// Inside is what the other process can be told to do; package net/rpc wants it exported. One process is one client.
type Inside struct {
	life context.Context //nolint:containedctx // ends with the process
	pub  *client.Publisher
	sub  *client.Subscriber
	page context.Context //nolint:containedctx // a tab of Chromium
}

// Nothing is an argument or a reply that says nothing.
type Nothing struct{}

// Visit says where a Go client connects.
type Visit struct {
	Node string // base URL of the node for the POST
	Home string // base URL of the node that gets all later requests
	Room string
	ID   string
}

// Awaited is a packet to be waited for.
type Awaited struct {
	Pub, Track string
	After      time.Time
}

// Browse says how to start a browser.
type Browse struct {
	URL     string // a page; its origin is treated as if it were secure
	Profile string // directory
}

// serveInside answers calls until the standard input ends, then leaves in order.
func serveInside() {
	life, end := context.WithCancel(context.Background())
	in := &Inside{life: life}
	server := rpc.NewServer()
	if err := server.Register(in); err != nil {
		panic(err)
	}
	server.ServeConn(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout})
	if in.pub != nil {
		in.pub.Hangup()
	}
	if in.sub != nil {
		in.sub.Hangup()
	}
	if in.page != nil {
		closing, cancel := context.WithTimeout(in.page, 5*time.Second)
		_ = chromedp.Cancel(closing) // in order: a browser that is killed leaves files
		cancel()
	}
	end()
}

// homing sends every request but the POST to another node.
type homing struct{ home string }

// RoundTrip implements http.RoundTripper.
func (h homing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		home, err := url.Parse(h.home)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL.Host, r.Host = home.Host, home.Host
	}
	return insecure().Transport.RoundTrip(r)
}

func (v Visit) config() client.Config {
	return client.Config{URL: v.Node, Room: v.Room, ID: v.ID, HTTP: &http.Client{Transport: homing{v.Home}, Timeout: 5 * time.Second}}
}

// Publish starts a publisher with a microphone and a camera, and gives the URL of its session.
func (in *Inside) Publish(v Visit, location *string) (err error) {
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	if in.pub, err = client.Publish(ctx, v.config(), client.Microphone(), client.Camera(synth.VP8, synth.Burst)); err == nil {
		*location = in.pub.Location()
	}
	return err
}

// Subscribe starts a subscriber and gives the URL of its session.
func (in *Inside) Subscribe(v Visit, location *string) (err error) {
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	if in.sub, err = client.Subscribe(ctx, v.config(), 1, 1); err == nil {
		*location = in.sub.Location()
	}
	return err
}

// Restart is an ICE restart by PATCH, with the addresses that the machine has now.
func (in *Inside) Restart(_ Nothing, _ *Nothing) error {
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	return in.session().ICERestart(ctx)
}

// Arrival gives the time of a packet of a track, the first after a time if it is asked for in time.
func (in *Inside) Arrival(a Awaited, at *time.Time) (err error) {
	*at, err = arrivalAfter(in.life, in.sub, a)
	return err
}

// Ping sends PING on the control channel and waits for its PONG: both directions work.
func (in *Inside) Ping(text string, _ *Nothing) error {
	s := in.session()
	if err := s.Send(control.Ping{Text: text}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(in.life, 10*time.Second)
	defer cancel()
	_, err := s.Await(ctx, func(m control.Message) bool { return m == control.Pong{Text: text} })
	return err
}

func (in *Inside) session() *client.Session {
	if in.pub != nil {
		return in.pub.Session
	}
	return in.sub.Session
}

// arrivalAfter is Arrival for a subscriber of this process.
func arrivalAfter(ctx context.Context, s *client.Subscriber, a Awaited) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	st, err := s.AwaitTrack(ctx, a.Pub, a.Track, func(st arrival.Stats) bool { return st.LastAt.After(a.After) })
	return st.LastAt, err
}

// Browse starts Chromium and opens a page.
func (in *Inside) Browse(b Browse, _ *Nothing) error {
	u, err := url.Parse(b.URL)
	if err != nil {
		return err
	}
	opts := append(chromiumFlags(b.Profile), chromedp.Flag("unsafely-treat-insecure-origin-as-secure", u.Scheme+"://"+u.Host))
	alloc, _ := chromedp.NewExecAllocator(in.life, opts...)
	in.page, _ = chromedp.NewContext(alloc)
	return chromedp.Do(in.page, chromedp.Navigate(b.URL))
}

// Eval runs the body of an async function in the page and gives its result as JSON.
func (in *Inside) Eval(body string, result *[]byte) error {
	ctx, cancel := context.WithTimeout(in.page, 20*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => JSON.stringify(await (async () => {"+body+"})() ?? null))()", chromedp.EvalAwaitPromise))
	*result = []byte(text)
	return err
}

// insider is the process on the other machine, as the test sees it.
type insider struct {
	t   *testing.T
	rpc *rpc.Client
}

// sendInside starts the process on a machine. It ends with the test.
func sendInside(t *testing.T, m *netns.Machine) *insider {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := m.Command(context.WithoutCancel(t.Context()), self)
	cmd.Env = append(os.Environ(), insideEnv+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = os.Stderr
	ours, theirs := net.Pipe()
	cmd.Stdin, cmd.Stdout = theirs, theirs
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting a client on %s: %v", m.Name, err)
	}
	in := &insider{t: t, rpc: rpc.NewClient(ours)}
	t.Cleanup(func() {
		if err := in.rpc.Close(); err != nil && !errors.Is(err, rpc.ErrShutdown) {
			t.Errorf("the client on %s: %v", m.Name, err)
		}
		late := time.AfterFunc(10*time.Second, func() {
			t.Errorf("the client on %s does not end", m.Name)
			_ = cmd.Process.Kill()
		})
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the client on %s: %v", m.Name, err)
		}
	})
	return in
}

// call has the other process do something that must succeed.
func call[R, A any](in *insider, method string, args A) (reply R) {
	in.t.Helper()
	if err := in.rpc.Call("Inside."+method, args, &reply); err != nil {
		in.t.Fatalf("%s on the other machine: %v", method, err)
	}
	return reply
}
