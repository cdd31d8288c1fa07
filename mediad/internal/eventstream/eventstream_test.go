package eventstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/player/board"
)

// streamServer serves a stream of b the way the node does, on a server with tight limits; ended gets a value for each request that ended.
func streamServer(t *testing.T, b *board.Board, http2 bool, beat, patience time.Duration) (srv *httptest.Server, ended <-chan struct{}) {
	t.Helper()
	id, err := b.Open(board.All)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{}, 16)
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { over <- struct{}{} }()
		reader, ok := b.Attach(id)
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		defer reader.Detach()
		send(r.Context(), w, reader, beat, patience)
	}))
	srv.Config.ReadTimeout, srv.Config.WriteTimeout, srv.EnableHTTP2 = 300*time.Millisecond, 300*time.Millisecond, http2
	if http2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	t.Cleanup(b.Close) // first, or the server would wait
	return srv, over
}

func get(t *testing.T, srv *httptest.Server) (*http.Response, *bufio.Reader) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp, bufio.NewReader(resp.Body)
}

// next reads one block of lines.
func next(t *testing.T, body *bufio.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := body.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, b.String())
		}
		if b.WriteString(line); line == "\n" {
			return b.String()
		}
	}
}

// The limits that a server has for short requests do not end a stream, and what is silent gives signs of life.
func TestStreamOutlivesTheServersLimits(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := board.New(make(chan struct{}, 1))
			srv, ended := streamServer(t, b, http2, 200*time.Millisecond, 100*time.Millisecond)
			resp, body := get(t, srv)
			if resp.Proto[:6] != name[:6] || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" ||
				resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %d %v", resp.Proto, resp.StatusCode, resp.Header)
			}
			if got := next(t, body); got != greeting {
				t.Errorf("greeted with %q", got)
			}
			for range 6 {
				if got := next(t, body); got != ":\n\n" {
					t.Errorf("got %q", got)
				}
			}
			b.SetLive(true)
			if got := next(t, body); got != "event: active\ndata: {}\n\n" {
				t.Errorf("got %q", got)
			}
			b.SetReconnect("/")
			b.Close()
			if rest, err := io.ReadAll(body); err != nil || !strings.HasSuffix(string(rest), "event: reconnect\ndata: {\"url\":\"/\"}\n\n") {
				t.Errorf("last words %q, %v", rest, err)
			}
			<-ended
		})
	}
}

// Who goes away ends the request, and the next one takes a stream over.
func TestStreamReaders(t *testing.T) {
	t.Parallel()
	b := board.New(make(chan struct{}, 1))
	srv, ended := streamServer(t, b, false, time.Minute, time.Minute)
	first, body := get(t, srv)
	next(t, body)
	_, second := get(t, srv)
	next(t, second)
	if rest, err := io.ReadAll(first.Body); len(rest) != 0 || err != nil {
		t.Errorf("the first reader got %q, %v", rest, err)
	}
	<-ended
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	third, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Body.Close()
	<-ended
	cancel()
	<-ended
}

// A reader that takes nothing holds nobody up and is given up.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	b := board.New(make(chan struct{}, 1))
	srv, ended := streamServer(t, b, false, time.Minute, 200*time.Millisecond)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String()) //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	rid := strings.Repeat("r", 16<<10)
	slowest := time.Duration(0)
	deadline := time.After(20 * time.Second)
	for i := 0; ; i++ {
		began := time.Now()
		b.SetLayers(map[int][]board.Layer{i: {{Rid: rid}}})
		slowest = max(slowest, time.Since(began))
		select {
		case <-ended:
			if slowest > 150*time.Millisecond {
				t.Errorf("publishing took up to %v", slowest)
			}
			return
		case <-deadline:
			t.Fatal("the reader is not given up")
		case <-time.After(100 * time.Microsecond):
		}
	}
}
