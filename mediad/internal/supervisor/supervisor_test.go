package supervisor

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// manager is systemd's end: a socket that is told.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

// newManager has the environment name it.
func newManager(t *testing.T) *manager {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", addr.Name)
	return &manager{t, conn}
}

// hears gives the next message within a time; false: there was none.
func (m *manager) hears(within time.Duration) (string, bool) {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	var buf [100]byte
	n, err := m.conn.Read(buf[:])
	return string(buf[:n]), err == nil
}

func (m *manager) expect(want string) {
	m.t.Helper()
	if got, ok := m.hears(patience); !ok || got != want {
		m.t.Fatalf("told %q, want %q", got, want)
	}
}

// run runs it until the test ends.
func run(t *testing.T, cfg Config) (over <-chan struct{}, end func()) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := Run(ctx, cfg); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return done, cancel
}

// A node that answers is reported again and again, one that hangs or fails no more, until it answers again.
func TestWatched(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	var state atomic.Int32 // 0: well, 1: hangs, 2: fails
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer only-for-tests" {
			t.Errorf("asked with %q", r.Header.Get("Authorization"))
		}
		switch state.Load() {
		case 1:
			<-r.Context().Done()
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer node.Close()
	_, end := run(t, Config{URL: node.URL, Token: "only-for-tests"})
	m.expect("READY=1")
	m.expect("WATCHDOG=1")
	m.expect("WATCHDOG=1")
	for _, ill := range []int32{1, 2} {
		state.Store(ill)
		m.hears(time.Second / 2) // that of before
		if got, ok := m.hears(time.Second); ok {
			t.Errorf("ill in way %d: told %q", ill, got)
		}
		state.Store(0)
		m.expect("WATCHDOG=1")
	}
	end()
}

// Without a watchdog the start is told and nothing else; without systemd nothing. What is wrong in the environment is logged and ends nothing.
func TestUnwatched(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		says string
	}{
		"no watchdog":        {},
		"of another process": {env: map[string]string{"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}},
		"no number":          {env: map[string]string{"WATCHDOG_USEC": "soon"}, says: "is not watched"},
		"no such socket":     {env: map[string]string{"NOTIFY_SOCKET": "/nowhere/at/all"}, says: "cannot be told"},
		"no systemd":         {env: map[string]string{"NOTIFY_SOCKET": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			var log bytes.Buffer
			over, end := run(t, Config{URL: "http://127.0.0.1:1", Log: slog.New(slog.NewTextHandler(&log, nil))})
			if os.Getenv("NOTIFY_SOCKET") != "" && c.env["NOTIFY_SOCKET"] == "" {
				m.expect("READY=1")
			}
			if got, ok := m.hears(50 * time.Millisecond); ok {
				t.Errorf("told %q", got)
			}
			end()
			<-over
			if said := log.String(); c.says == "" && said != "" || !strings.Contains(said, c.says) {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}
