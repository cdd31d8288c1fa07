package redisdb

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// This file counts what is asked of Redis. Open has the library call it; whoever watches over the process reads Stats.

// meter implements redis.Hook.
type meter struct {
	commands, failed atomic.Uint64
	took             atomic.Int64 // nanoseconds
}

// Stats is what was asked of Redis since Open, and the connections there are. Reads that wait for news do not count.
type Stats struct {
	Commands, Failed  uint64        // a pipeline counts as one; Failed: no answer came, though it was waited for
	Took              time.Duration // all together
	Connections, Idle uint32        // Idle ones are among Connections
}

// Stats reads the counters.
func (db *DB) Stats() Stats {
	pool := db.rdb.PoolStats()
	return Stats{
		Commands: db.meter.commands.Load(), Failed: db.meter.failed.Load(), Took: time.Duration(db.meter.took.Load()),
		Connections: pool.TotalConns, Idle: pool.IdleConns,
	}
}

// DialHook implements redis.Hook.
func (m *meter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (m *meter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		if cmd.Name() != "xread" {
			m.count(began, err)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (m *meter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		m.count(began, err)
		return err
	}
}

// count takes in one exchange. An error that Redis itself answers with is an answer.
func (m *meter) count(began time.Time, err error) {
	m.commands.Add(1)
	m.took.Add(int64(time.Since(began)))
	var answer redis.Error
	if err != nil && !errors.As(err, &answer) && !errors.Is(err, context.Canceled) {
		m.failed.Add(1)
	}
}
