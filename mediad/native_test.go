package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/client/synth"
	"weever/mediad/internal/control"
	"weever/shared/logtest"
	"weever/shared/room/roomtest"
)

// said is one line of the native client.
type said struct {
	Event        string
	Status       int
	Audio, Video int
	Text         string
}

// native is a client on GStreamer's webrtcbin, in a process of its own.
type native struct {
	t     *testing.T
	stdin io.Closer
	over  chan struct{} // closed when it has ended

	mu   sync.Mutex
	said []said
}

// startNative runs the client; role is "publish" or "play".
func startNative(t *testing.T, role, endpoint, token string) *native {
	t.Helper()
	gjs, err := exec.LookPath("gjs")
	if err != nil {
		t.Fatalf("gjs is missing (%v): run make setup", err)
	}
	cmd := exec.Command(gjs, "-m", "../site/test/native/webrtcbin.js", role, endpoint, token, "127.0.0.1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log logtest.Buffer
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &native{t: t, stdin: stdin, over: make(chan struct{})}
	go func() {
		defer close(n.over)
		n.read(stdout)
		_ = cmd.Wait() // what went wrong was said, or is in the log
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-n.over
		if t.Failed() {
			t.Logf("%s: said %+v; its log:\n%s", role, n.said, log.String())
		}
	})
	return n
}

// read takes what the client says until it ends.
func (n *native) read(from io.Reader) {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		var s said
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			s = said{Event: "failed", Text: lines.Text()}
		}
		n.mu.Lock()
		n.said = append(n.said, s)
		n.mu.Unlock()
	}
}

// hears waits until the client has said something that match accepts.
func (n *native) hears(what string, match func(said) bool) {
	n.t.Helper()
	heard := func(match func(said) bool) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return slices.ContainsFunc(n.said, match)
	}
	await(n.t, what, 15*time.Second, func() bool {
		if heard(func(s said) bool { return s.Event == "failed" }) {
			n.t.Fatalf("the native client failed before %s", what)
		}
		return heard(match)
	})
}

// stop has it DELETE its session and end.
func (n *native) stop() {
	n.t.Helper()
	_ = n.stdin.Close()
	n.hears("its session to be deleted", func(s said) bool { return s.Event == "deleted" && s.Status == 200 })
	select {
	case <-n.over:
	case <-time.After(10 * time.Second):
		n.t.Error("the native client does not end")
	}
}

func event(name string) func(said) bool { return func(s said) bool { return s.Event == name } }

// A native client publishes for a Go viewer and a browser, and plays what a Go client publishes.
func TestNativeClient(t *testing.T) {
	c := newCloud(t)
	var tr trail
	as := func(role, rm, id string) client.Config {
		cfg := tr.config(c.balancer, rm, id)
		cfg.Token = c.token(t, role, rm, id)
		return cfg
	}

	t.Run("publishes", func(t *testing.T) {
		p := stagePage(t)
		gst := startNative(t, "publish", c.URL+"/pub/tea/alice", c.token(t, "pub", "tea", "alice"))
		gst.hears("it to have trickled", func(s said) bool { return s.Event == "patched" && s.Status == 204 })
		gst.hears("it to be connected", event("connected"))
		await(t, "the publisher to be live", 5*time.Second, func() bool { return c.live(t, "tea") == "alice" })
		v := subscribeOffering(t, as("sub", "tea", "bob"), 1, 1)
		for _, track := range []string{"audio0", "video0"} {
			if st := plays(t, v, "alice", track); st.Backwards != 0 || st.SSRCs != 1 {
				t.Errorf("%s: %+v", track, st)
			}
		}
		eval[any](t, p, fmt.Sprintf(`await stage.play('carol', 'medooze', %s)`, c.place(t, "sub", "tea", "carol")))
		seesAndHears(t, p, "carol")
		gst.stop()
		hears(t, v, control.PubLeft{Pub: roomtest.FullID(t, "alice")})
	})

	t.Run("plays", func(t *testing.T) {
		p, err := client.Publish(within(t, 10*time.Second), as("pub", "coffee", "alice"), client.Microphone(), client.Camera(synth.VP8, synth.Burst))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Hangup)
		await(t, "the publisher to be live", 5*time.Second, func() bool { return c.live(t, "coffee") == "alice" })
		gst := startNative(t, "play", c.URL+"/sub/coffee/bob", c.token(t, "sub", "coffee", "bob"))
		gst.hears("it to be connected", event("connected"))
		gst.hears("pictures and sound", func(s said) bool { return s.Video >= 30 && s.Audio >= 50 })
		gst.stop()
	})
}
