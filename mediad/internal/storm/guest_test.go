package storm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"net/url"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"

	"weever/mediad/internal/client"
	"weever/shared/testkit/netns"
)

// This file lets clients run on another machine: a network namespace, which a process can only be in as a whole. So the test binary is
// started once more there, as a server of calls on its standard input and output.

// guestEnv makes the test binary serve calls in place of running tests.
const guestEnv = "WEEVER_TEST_GUEST"

// Guest is what the other process can be told to do; package net/rpc wants it exported.
type Guest struct {
	life    context.Context //nolint:containedctx // ends with the process
	viewers []*client.Subscriber
	ears    []*ear
	leave   []func()
	page    context.Context //nolint:containedctx // a tab of Chromium
}

// Nothing is an argument or a reply that says nothing.
type Nothing struct{}

// Visit says whom the guest's viewers watch.
type Visit struct {
	URL, Room, Name string
	Viewers         int
	Publishers      int
}

// Browse says how to start a browser.
type Browse struct {
	URL     string // a page; its origin is treated as if it were secure
	Profile string // directory
}

// serveGuest answers calls until the standard input ends, then leaves in order.
func serveGuest() {
	life, end := context.WithCancel(context.Background())
	g := &Guest{life: life}
	calls := rpc.NewServer()
	if err := calls.Register(g); err != nil {
		panic(err)
	}
	calls.ServeConn(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout})
	for _, v := range g.viewers {
		v.Hangup()
	}
	for _, leave := range g.leave {
		leave()
	}
	if g.page != nil {
		closing, cancel := context.WithTimeout(g.page, 5*time.Second)
		_ = chromedp.Cancel(closing) // in order: a browser that is killed leaves files
		cancel()
	}
	end()
}

// Watch opens viewers and returns when each has heard and seen something.
func (g *Guest) Watch(v Visit, _ *Nothing) error {
	ctx, cancel := context.WithTimeout(g.life, joinLimit)
	defer cancel()
	for i := range v.Viewers {
		e := newEar()
		s, err := client.Subscribe(ctx, client.Config{
			URL: v.URL, Room: v.Room, ID: fmt.Sprintf("%s%d", v.Name, i), Arrived: e.note, HTTP: &http.Client{Timeout: joinLimit},
		}, v.Publishers, v.Publishers)
		if err != nil {
			return err
		}
		g.viewers, g.ears = append(g.viewers, s), append(g.ears, e)
		if err := s.AwaitMedia(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Arrivals gives what has come to each viewer, track by track.
func (g *Guest) Arrivals(_ Nothing, all *[][]Heard) error {
	for _, e := range g.ears {
		*all = append(*all, e.list())
	}
	return nil
}

// Browse starts Chromium and opens a page.
func (g *Guest) Browse(b Browse, _ *Nothing) error {
	u, err := url.Parse(b.URL)
	if err != nil {
		return err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("unsafely-treat-insecure-origin-as-secure", u.Scheme+"://"+u.Host),
		chromedp.WindowSize(1000, 700), chromedp.UserDataDir(b.Profile))
	alloc, _ := chromedp.NewExecAllocator(g.life, opts...)
	g.page, _ = chromedp.NewContext(alloc)
	return chromedp.Do(g.page, chromedp.Navigate(b.URL))
}

// Eval runs the body of an async function in the page and gives its result as JSON.
func (g *Guest) Eval(body string, result *[]byte) error {
	ctx, cancel := context.WithTimeout(g.page, 20*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => JSON.stringify(await (async () => {"+body+"})() ?? null))()", chromedp.EvalAwaitPromise))
	*result = []byte(text)
	return err
}

const chromium = "/usr/bin/chromium"

// guest is the process on the other machine, as the test sees it.
type guest struct {
	*stage
	cmd *exec.Cmd
	rpc *rpc.Client
}

// guest starts the process on a station. It ends with the test.
func (s *stage) guest(at *netns.Station) *guest {
	s.Helper()
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	cmd := at.Command(context.WithoutCancel(s.Context()), self)
	cmd.Env = append(os.Environ(), guestEnv+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = os.Stderr
	ours, theirs := net.Pipe()
	cmd.Stdin, cmd.Stdout = theirs, theirs
	if err := cmd.Start(); err != nil {
		s.Fatalf("starting a guest at %v: %v", at.Addr, err)
	}
	g := &guest{stage: s, cmd: cmd, rpc: rpc.NewClient(ours)}
	s.Cleanup(func() {
		g.signal(syscall.SIGCONT) // it may be stopped
		if err := g.rpc.Close(); err != nil && !errors.Is(err, rpc.ErrShutdown) {
			s.Errorf("the guest at %v: %v", at.Addr, err)
		}
		late := time.AfterFunc(20*time.Second, func() {
			s.Errorf("the guest at %v does not end", at.Addr)
			_ = cmd.Process.Kill()
		})
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			s.Errorf("the guest at %v: %v", at.Addr, err)
		}
	})
	return g
}

// signal stops the process (SIGSTOP) or lets it go on (SIGCONT).
func (g *guest) signal(sig syscall.Signal) {
	g.Helper()
	if err := g.cmd.Process.Signal(sig); err != nil {
		g.Errorf("signal %v to a guest: %v", sig, err)
	}
}

// call has the other process do something that must succeed.
func call[R, A any](g *guest, method string, args A) (reply R) {
	g.Helper()
	if err := g.rpc.Call("Guest."+method, args, &reply); err != nil {
		g.Fatalf("%s on the other machine: %v", method, err)
	}
	return reply
}
