package lease

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"weever/shared/redisdb"
)

// This file is used by main, which runs a Keeper from before the first session until after the last, and by what must know whether the
// node still has a right to its sessions.

// Defaults of Config.
const (
	Period = 3 * time.Second
	TTL    = 10 * time.Second
)

// Config is what a Keeper needs. All nodes of an installation must agree on Period and TTL.
type Config struct {
	DB     *redisdb.DB
	Self   Record        // this process
	Period time.Duration // between refreshes; 0: 3 s. After a failure it tries again in a third of it.
	TTL    time.Duration // how long a refresh holds, more than twice Period; 0: 10 s

	// Leftovers is asked when Run ends: are there still records that only a reaper will remove? Then the lease is not removed but left to
	// run out, so that there will be one. Nil: there never are.
	Leftovers func(context.Context) (bool, error)

	Log *slog.Logger // nil: silence
}

// Keeper holds the lease of this process.
type Keeper struct {
	cfg    Config
	leases *Leases
	body   string
	born   time.Time
	lost   chan struct{}
	last   atomic.Int64 // when the last refresh that succeeded was sent, in nanoseconds after born; 0: none has

	// Owned by Run.
	term int64 // of the lease, as Redis last said; 0: not yet
	away bool  // the last refresh failed
}

// NewKeeper checks the configuration; it sends nothing.
func NewKeeper(cfg Config) (*Keeper, error) {
	cfg.Period, cfg.TTL = cmp.Or(cfg.Period, Period), cmp.Or(cfg.TTL, TTL)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	var faults []error
	if cfg.DB == nil {
		faults = append(faults, errors.New("lease: DB is missing"))
	}
	if cfg.Period <= 0 || cfg.TTL <= 2*cfg.Period {
		faults = append(faults, errors.New("lease: TTL must be more than twice Period"))
	}
	if err := cfg.Self.check(); err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	body, err := json.Marshal(cfg.Self)
	if err != nil {
		return nil, err
	}
	return &Keeper{cfg: cfg, leases: New(cfg.DB), body: string(body), born: time.Now(), lost: make(chan struct{}, 1)}, nil
}

// Age is how long ago the last refresh was sent that Redis has confirmed, by a clock that nobody sets; the largest Duration before the
// first. While it is below TTL the lease has not run out. It costs no more than looking at the clock.
func (k *Keeper) Age() time.Duration {
	last := k.last.Load()
	if last == 0 {
		return math.MaxInt64
	}
	return time.Since(k.born) - time.Duration(last)
}

// Lost receives after the lease was interrupted and is there again: it had run out, others had claimed or removed it, or Redis had lost
// it. Others may have removed records of this process: its claims must be checked. What happens while a notice waits to be received
// is part of that notice.
func (k *Keeper) Lost() <-chan struct{} { return k.lost }

// Run writes the lease, refreshes it until ctx ends, then removes it and returns ctx.Err(), within two Periods. It survives everything
// Redis does. When Redis cannot be told of the end, the lease runs out.
func (k *Keeper) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			k.leave(ctx)
			return ctx.Err()
		case <-timer.C:
		}
		begin := time.Now()
		err := k.refresh(ctx, begin)
		k.report(err)
		if err != nil {
			timer.Reset(k.cfg.Period / 3)
			continue
		}
		timer.Reset(max(0, k.cfg.Period-time.Since(begin)))
	}
}

// refresh does not break off when ctx ends: what Redis has not answered it might do after the lease was removed.
func (k *Keeper) refresh(ctx context.Context, begin time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.cfg.Period)
	defer cancel()
	self := k.cfg.Self
	text, err := script.Run(ctx, k.leases.db.Client(), k.leases.keys(), "refresh", self.Instance, self.Epoch, k.cfg.TTL.Microseconds(), k.body).Text()
	if err != nil {
		return err
	}
	term, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	// What others may have done is told before Age says that all is well.
	if k.term != 0 && k.term != term {
		k.cfg.Log.Warn("the lease of this node was interrupted; its sessions are checked")
		select {
		case k.lost <- struct{}{}:
		default: // a notice is waiting
		}
	}
	k.term = term
	k.last.Store(max(1, int64(begin.Sub(k.born))))
	return nil
}

// report logs the beginning and the end of an outage.
func (k *Keeper) report(err error) {
	switch {
	case err != nil && !k.away:
		k.cfg.Log.Warn("the lease of this node cannot be refreshed; trying again until Redis answers", "err", err)
	case err == nil && k.away:
		k.cfg.Log.Info("the lease of this node is refreshed again")
	}
	k.away = err != nil
}

// leave removes the lease if nobody needs it any more.
func (k *Keeper) leave(ctx context.Context) {
	if k.term == 0 && !k.away {
		return // nothing was ever sent
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.cfg.Period)
	defer cancel()
	if k.cfg.Leftovers != nil {
		switch left, err := k.cfg.Leftovers(ctx); {
		case err != nil:
			k.cfg.Log.Warn("records of this node may be left; others will look when its lease has run out", "err", err)
			return
		case left:
			k.cfg.Log.Warn("records of this node are left; others will remove them when its lease has run out")
			return
		}
	}
	if _, err := k.leases.ask(ctx, "leave", k.cfg.Self.Instance, k.cfg.Self.Epoch); err != nil {
		k.cfg.Log.Warn("the lease of this node could not be removed; it will run out", "err", err)
	}
}
