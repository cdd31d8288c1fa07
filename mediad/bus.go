package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Reconnecting to NATS: for ever, and soon, for relayed media stands still meanwhile.
const (
	natsWait   = 250 * time.Millisecond
	natsJitter = 250 * time.Millisecond
	natsPing   = 2 * time.Second // two unanswered pings and the connection is given up
)

// connectNATS prepares a connection. It succeeds while no server can be reached; the connection then comes up by itself.
func connectNATS(cfg SharedConfig, name string, log *slog.Logger) (*nats.Conn, error) {
	urls := make([]string, len(cfg.NATS))
	for i, u := range cfg.NATS {
		urls[i] = u.Value()
	}
	log = log.With("nats", name)
	opts := []nats.Option{
		nats.Name(name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(natsWait), nats.ReconnectJitter(natsJitter, natsJitter),
		nats.PingInterval(natsPing), nats.MaxPingsOutstanding(2), nats.Timeout(natsPing),
		nats.ReconnectBufSize(-1), // what cannot be sent is old news by the time it could
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Debug("NATS", "err", err) }),
	}
	if cfg.NATSCreds != "" {
		opts = append(opts, nats.UserCredentials(cfg.NATSCreds))
	}
	if cfg.NATSCA != "" {
		opts = append(opts, nats.RootCAs(cfg.NATSCA))
	}
	if cfg.NATSCert != "" {
		opts = append(opts, nats.ClientCert(cfg.NATSCert, cfg.NATSKey))
	}
	nc, err := nats.Connect(strings.Join(urls, ","), opts...)
	if err != nil {
		if len(urls) > 0 && strings.Contains(err.Error(), "@") { // the library's text may quote a URL and its password
			err = errors.New("the URL cannot be used")
		}
		return nil, fmt.Errorf("--nats: %w", err)
	}
	return nc, nil
}
