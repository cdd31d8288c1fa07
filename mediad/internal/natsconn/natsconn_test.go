package natsconn

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weever/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A connection may be made before there is a server, and outlives the loss of one.
func TestComesUpByItself(t *testing.T) {
	srv := testkit.NATSCluster(t, 1)[0]
	srv.Stop()
	nc, err := Connect(Config{URLs: []string{srv.URL}, Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for range 2 {
		if nc.IsConnected() {
			t.Fatal("connected to nothing")
		}
		srv.Start()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		for tick := time.Tick(10 * time.Millisecond); !nc.IsConnected(); <-tick {
			if ctx.Err() != nil {
				t.Fatal("the connection does not come up")
			}
		}
		if err := Answers(ctx, nc, nc); err != nil {
			t.Error(err)
		}
		srv.Stop()
		for tick := time.Tick(10 * time.Millisecond); nc.IsConnected(); <-tick {
			if ctx.Err() != nil {
				t.Fatal("the loss is not noticed")
			}
		}
		if err := Answers(ctx, nc); err == nil {
			t.Error("a server that is gone answers")
		}
		cancel()
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	_, err := Connect(Config{URLs: []string{"nats://u:hunter2@h:%%"}, Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "--nats") {
		t.Errorf("%v", err)
	}
}
