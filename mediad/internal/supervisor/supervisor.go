// Package supervisor tells systemd that the node has started, and that it is alive (sd_notify(3), WatchdogSec= of systemd.service(5)).
//
// main runs it beside the node, for as long as that. Started by anything else than systemd it does nothing.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// asks is how often the node is looked at between two signs of life that systemd must have: a node that is only slow for once is not ended.
const asks = 3

// Config says how the node is looked at.
type Config struct {
	// URL is of the node's own metrics. Who answers there has a listener, a scheduler, and no lock of its parts that is held for ever.
	URL   string
	Token string // bearer; empty: none is needed
	Log   *slog.Logger
}

// Run reports the start at once, and signs of life until ctx ends, which is when it returns nil. A node that does not answer itself is
// reported no more, which is how systemd finds out and restarts it.
func Run(ctx context.Context, cfg Config) error {
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		cfg.Log.Warn("the environment of systemd's watchdog cannot be used: the node is not watched", "err", err)
	}
	cfg.tell(daemon.SdNotifyReady)
	if period <= 0 {
		<-ctx.Done()
		return nil
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: period / asks} // no proxy: the node is here
	tick := time.NewTicker(period / asks)
	defer tick.Stop()
	for {
		if err := cfg.look(ctx, client); err == nil {
			cfg.tell(daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			cfg.Log.Error("the node does not answer itself; systemd will restart it", "err", err, "after", period)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look fails when the node does not say how it is.
func (c Config) look(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("supervisor: %s", resp.Status))
	}
	return err
}

// tell sends a message, if there is somebody to send it to.
func (c Config) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		c.Log.Warn("systemd cannot be told how the node is", "state", state, "err", err)
	}
}
