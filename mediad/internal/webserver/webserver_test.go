package webserver

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A reply under way when the server ends is finished, and the port is free then.
func TestServeEnds(t *testing.T) {
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), "--port", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			cancel()
			<-ctx.Done()
			_, _ = io.WriteString(w, "whole")
		}), slog.New(slog.DiscardHandler))
	}()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(l.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "whole" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	again, err := Listen(Addr(l), "--port", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := Listen(Addr(l), "--port", nil); err == nil || !strings.Contains(err.Error(), "--port") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestReachable(t *testing.T) {
	for host, want := range map[string]string{"0.0.0.0": "http://127.0.0.1:", "127.0.0.1": "http://127.0.0.1:"} {
		l, err := Listen(netip.AddrPortFrom(netip.MustParseAddr(host), 0), "--port", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.URL(); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ":0") {
			t.Errorf("%s: %s", host, got)
		}
		_ = l.Close()
	}
}
