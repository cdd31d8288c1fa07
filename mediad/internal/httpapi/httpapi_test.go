package httpapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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

// Where an owner sends a player, the node between tells it.
func TestRelayedReplyOfAnOwner(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := (&http.Response{
		StatusCode: http.StatusTemporaryRedirect, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Location": {"https://node:8443/sub/tea/bob/x/events/y"}, "Set-Cookie": {"a=b"}, "Link": {"<x>"}},
	}).Write(&out); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := relayReply(w, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusTemporaryRedirect || w.Header().Get("Location") != "https://node:8443/sub/tea/bob/x/events/y" ||
		w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
