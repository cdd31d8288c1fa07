package health

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weever/mediad/internal/admission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a Monitor looks at; a test changes it.
type world struct {
	away, hangs atomic.Bool
	phase       atomic.Value
	full        atomic.Bool

	mu  sync.Mutex
	log bytes.Buffer
}

func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

// said gives what was logged since the last call, one line each.
func (w *world) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	w.log.Reset()
	if lines[0] == "" {
		return nil
	}
	return lines
}

func (w *world) ask(ctx context.Context) error {
	switch {
	case w.hangs.Load():
		<-ctx.Done()
		return ctx.Err()
	case w.away.Load():
		return errors.New("no way there")
	}
	return nil
}

// watched runs a Monitor in a bubble of synctest; its first answers are there when test begins.
func watched(t *testing.T, test func(t *testing.T, m *Monitor, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.phase.Store(OK)
		m, err := New(Config{
			Phase: func() Status { return w.phase.Load().(Status) },
			Limits: func() []admission.Limit {
				return []admission.Limit{
					{Name: admission.Sessions, Value: 3, Max: 4, Full: w.full.Load()}, {Name: admission.Egress, Value: 1.26, Unit: "Mbit/s"},
				}
			},
			Awaited: func() string { return "its breakfast" },
			Backends: []Backend{
				{Name: "redis", Shared: true, Ask: w.ask},
				{Name: "lease", Ask: func(context.Context) error { return nil }},
			},
			Log: slog.New(slog.NewTextHandler(w, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		after(50 * time.Millisecond) // from here on always between two askings
		m.Report()
		test(t, m, w)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// one insists on one line that holds all the words.
func one(t *testing.T, w *world, words ...string) {
	t.Helper()
	lines := w.said()
	for _, word := range words {
		if len(lines) != 1 || !strings.Contains(lines[0], word) {
			t.Fatalf("no single line with %q: %q", word, lines)
		}
	}
}

func TestBackendsAreBelievedWhenTheyInsist(t *testing.T) {
	for name, fault := range map[string]func(*world, bool){
		"away":  func(w *world, on bool) { w.away.Store(on) },
		"hangs": func(w *world, on bool) { w.hangs.Store(on) },
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, m *Monitor, w *world) {
				if r := m.Report(); r.Status != OK || r.Backends["redis"] != "up" || r.Components["lease"].Status != "up" || r.Backends["lease"] != "" {
					t.Errorf("%+v", r)
				}
				one(t, w, "was=starting is=ok")
				fault(w, true)
				after(time.Second) // one bad answer
				fault(w, false)
				after(10 * time.Second)
				if r, lines := m.Report(), w.said(); r.Status != OK || lines != nil {
					t.Errorf("after a hiccup: %+v, %q", r, lines)
				}

				fault(w, true)
				began := time.Now()
				after(3 * time.Second)
				r := m.Report()
				if r.Status != Degraded || !r.Ready() || r.Reason != "redis away" || r.Backends["redis"] != "down" || r.Components["lease"].Status != "up" {
					t.Errorf("%+v", r)
				}
				if since := r.Components["redis"].Since.Sub(began); since < 0 || since > 2*time.Second {
					t.Errorf("away since %v after it was", since)
				}
				one(t, w, "level=WARN", "was=ok is=degraded", `reason="redis away"`, "err=")

				fault(w, false)
				after(time.Second)
				if r := m.Report(); r.Status != Degraded {
					t.Errorf("back after one good answer: %+v", r)
				}
				after(time.Second)
				if r := m.Report(); r.Status != OK || r.Reason != "" {
					t.Errorf("%+v", r)
				}
				one(t, w, "level=INFO", "was=degraded is=ok")
			})
		})
	}
}

func TestPhasesAndLimits(t *testing.T) {
	watched(t, func(t *testing.T, m *Monitor, w *world) {
		w.said()
		w.full.Store(true)
		if r := m.Report(); r.Status != Full || r.Ready() || r.Reason != "sessions" || r.Components["sessions"].Status != "full" {
			t.Errorf("%+v", r)
		}
		one(t, w, "level=WARN", "was=ok is=full", "reason=sessions")
		w.away.Store(true)
		after(5 * time.Second)
		if r := m.Report(); r.Status != Full || r.Backends["redis"] != "down" {
			t.Errorf("being full outweighs: %+v", r)
		}
		w.phase.Store(Draining)
		if r := m.Report(); r.Status != Draining || r.Ready() || r.Reason != "" {
			t.Errorf("%+v", r)
		}
		one(t, w, "level=INFO", "was=full is=draining")
		w.phase.Store(Starting)
		if r := m.Report(); r.Status != Starting || r.Ready() || r.Reason != "waiting for its breakfast" {
			t.Errorf("%+v", r)
		}
	})
}

// The log hears of a change also when nobody asks.
func TestLogWithoutReports(t *testing.T) {
	watched(t, func(t *testing.T, _ *Monitor, w *world) {
		w.said()
		w.full.Store(true)
		after(2 * time.Second)
		one(t, w, "is=full")
	})
}

// One Report is not overtaken by another: whatever the log says last is so.
func TestReportsTakeTurns(t *testing.T) {
	w := &world{}
	w.phase.Store(OK)
	var m *Monitor
	var err error
	once := true
	m, err = New(Config{
		Phase: func() Status {
			was := w.phase.Load().(Status)
			if once {
				once = false
				w.phase.Store(Draining)
				if m.mu.TryLock() { // so another may report what is newer
					m.mu.Unlock()
					m.Report()
				}
			}
			return was
		},
		Limits: func() []admission.Limit { return nil }, Awaited: func() string { return "" }, Log: slog.New(slog.NewTextHandler(w, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Report()
	m.Report()
	lines := w.said()
	if len(lines) != 2 || !strings.Contains(lines[0], "was=starting is=ok") || !strings.Contains(lines[1], "was=ok is=draining") {
		t.Errorf("%q", lines)
	}
}

func TestBody(t *testing.T) {
	watched(t, func(t *testing.T, m *Monitor, w *world) {
		w.full.Store(true)
		body, err := json.Marshal(m.Report())
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"status":"full","reason":"sessions","components":{"egress":{"status":"ok","value":1.3,"unit":"Mbit/s"},` +
			`"lease":{"status":"up","since":"2000-01-01T00:00:00Z"},"redis":{"status":"up","since":"2000-01-01T00:00:00Z"},` +
			`"sessions":{"status":"full","value":3,"max":4}},"backends":{"redis":"up"}}`
		if string(body) != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
	})
}

// Of a backend that has never been there the first good answer is believed; one that gives no answer yet is not away.
func TestFirstAnswers(t *testing.T) {
	now := time.Now()
	var b belief
	if b.component().Status != "unknown" {
		t.Errorf("%+v", b)
	}
	for i, c := range []struct {
		err  error
		want string
	}{{errors.New("no"), "unknown"}, {errors.New("no"), "down"}, {nil, "up"}, {errors.New("no"), "up"}, {errors.New("no"), "down"}, {nil, "down"}, {nil, "up"}} {
		if b.saw(c.err, now); b.component().Status != c.want {
			t.Errorf("answer %d: %+v, want %s", i, b, c.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{
			Phase: func() Status { return OK }, Limits: func() []admission.Limit { return nil }, Awaited: func() string { return "" }, Log: slog.New(slog.DiscardHandler),
			Backends: []Backend{{Name: "lease", Ask: func(context.Context) error { return ErrNotYet }}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := m.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if r := m.Report(); r.Status != OK || r.Components["lease"].Status != "unknown" {
			t.Errorf("%+v", r)
		}
	})
}
