// Package pionlog sends pion's log lines to slog, so that the node has one log, and counts the packets of which they say that pion
// dropped them.
//
// Package peer makes one Factory for all connections. It starts nothing and owns the counters.
package pionlog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// Factory makes loggers for pion's parts. Its zero value is not usable; see New.
type Factory struct {
	log   *slog.Logger
	drops *counters
}

// New returns a factory that writes to log. What pion calls a warning or an error is nearly always a peer's doing (a stray
// STUN packet, a closed socket), which an operator cannot mend: it is logged at debug level.
func New(log *slog.Logger) *Factory { return &Factory{log: log, drops: &counters{}} }

// NewLogger implements logging.LoggerFactory.
func (f *Factory) NewLogger(scope string) logging.LeveledLogger {
	return &logger{f.log.With("scope", scope), lines(scope), f.drops}
}

// Drops is how many packets pion has said that it dropped, by reason; all reasons are there.
func (f *Factory) Drops() map[string]uint64 { return f.drops.read() }

type logger struct {
	log   *slog.Logger
	lines func(format string, args []any) (reason, bool) // nil: the part drops no packets, or does not say so
	drops *counters
}

// count counts the line if it says that a packet was dropped.
func (l *logger) count(format string, args []any) {
	if l.lines == nil {
		return
	}
	if why, ok := l.lines(format, args); ok {
		l.drops[why].Add(1)
	}
}

func (l *logger) write(msg string) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "pion", slog.String("said", msg))
}

func (l *logger) writef(format string, args []any) {
	l.count(format, args)
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.write(fmt.Sprintf(format, args...))
	}
}

// Trace and Debug lines of pion come per packet: they are not logged, but may have to be counted. An Error without arguments is never of a
// packet; in srtp it is how a connection ended.

func (l *logger) Trace(msg string)                  { l.count(msg, nil) }
func (l *logger) Tracef(format string, args ...any) { l.count(format, args) }
func (l *logger) Debug(msg string)                  { l.count(msg, nil) }
func (l *logger) Debugf(format string, args ...any) { l.count(format, args) }
func (l *logger) Info(msg string)                   { l.count(msg, nil); l.write(msg) }
func (l *logger) Infof(format string, args ...any)  { l.writef(format, args) }
func (l *logger) Warn(msg string)                   { l.count(msg, nil); l.write(msg) }
func (l *logger) Warnf(format string, args ...any)  { l.writef(format, args) }
func (l *logger) Error(msg string)                  { l.write(msg) }
func (l *logger) Errorf(format string, args ...any) { l.writef(format, args) }
