// Package natsconn makes connections to NATS that come back by themselves.
//
// main opens two for each node and closes them last; relay, events and node calls use them.
package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Reconnecting: for ever, and soon, for relayed media stands still meanwhile.
const (
	wait   = 250 * time.Millisecond
	jitter = 250 * time.Millisecond
	ping   = 2 * time.Second // two unanswered pings and the connection is given up
)

// Config says where the servers are and who we are; all but URLs, Name and Log may be empty.
type Config struct {
	URLs      []string // of all servers; with passwords, perhaps
	Name      string   // of this connection, for those who look at the server
	Creds     string   // file with JWT and seed
	CA        string   // file with authorities, PEM; empty: the system's
	Cert, Key string   // files of the client certificate, PEM: both or none
	Log       *slog.Logger
}

// Connect prepares a connection. It succeeds while no server can be reached; the connection then comes up by itself. Its error holds no
// password.
func Connect(cfg Config) (*nats.Conn, error) {
	log := cfg.Log.With("nats", cfg.Name)
	opts := []nats.Option{
		nats.Name(cfg.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(wait), nats.ReconnectJitter(jitter, jitter),
		nats.PingInterval(ping), nats.MaxPingsOutstanding(2), nats.Timeout(ping),
		// A write that is stuck holds the connection's lock, and with it up whoever asks whether it is connected: no longer than this.
		nats.FlusherTimeout(ping), nats.ReconnectOnFlusherError(),
		nats.ReconnectBufSize(-1), // what cannot be sent is old news by the time it could
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Debug("NATS", "err", err) }),
	}
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	if cfg.CA != "" {
		opts = append(opts, nats.RootCAs(cfg.CA))
	}
	if cfg.Cert != "" {
		opts = append(opts, nats.ClientCert(cfg.Cert, cfg.Key))
	}
	nc, err := nats.Connect(strings.Join(cfg.URLs, ","), opts...)
	if err != nil {
		if len(cfg.URLs) > 0 && strings.Contains(err.Error(), "@") { // the library's text may quote a URL and its password
			err = errors.New("the URL cannot be used")
		}
		return nil, fmt.Errorf("--nats: %w", err)
	}
	return nc, nil
}

// Answers is nil when every connection has a server that answers before ctx, which must have a deadline, ends.
func Answers(ctx context.Context, conns ...*nats.Conn) error {
	for _, c := range conns {
		if !c.IsConnected() { // it would wait for that
			return nats.ErrDisconnected
		}
		if err := c.FlushWithContext(ctx); err != nil {
			return err
		}
	}
	return nil
}
