package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weever/shared/room"
)

// A client that has gone is no fault of ours; anything else that is not a refusal is.
func TestGoneClientIsNoError(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"gone": true, "there": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			a := &api{Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))}}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			mux := http.NewServeMux()
			mux.Handle("/pub/{room}/{id}", a.serve(room.Pub, func(http.ResponseWriter, *request) error {
				if gone {
					cancel()
				}
				return errors.New("a step failed")
			}))
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/pub/tea/alice", nil))
			if failed := strings.Contains(log.String(), "level=ERROR"); failed == gone || (w.Code == http.StatusInternalServerError) == gone {
				t.Errorf("status %d, log: %s", w.Code, log.String())
			}
		})
	}
}

// Backends are asked at once and not waited for: even a probe that ignores its context does not hold the answer up.
func TestReadinessDoesNotWait(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	hang := func(context.Context) error { <-release; return nil }
	h := NewPrivate(PrivateConfig{
		Counts: func() (int, int) { return 0, 0 }, Control: http.NotFoundHandler(), Ready: func() error { return nil },
		Backends: map[string]func(context.Context) error{"a": hang, "b": hang, "c": func(context.Context) error { return nil }},
	})
	began := time.Now()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readiness", nil))
	var body struct {
		Status   string
		Backends map[string]string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); w.Code != 200 || took > 2*probeTimeout || body.Status != "degraded" ||
		body.Backends["a"] != "down" || body.Backends["b"] != "down" || body.Backends["c"] != "up" {
		t.Errorf("%d after %v: %+v", w.Code, took, body)
	}
}
