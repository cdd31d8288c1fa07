// Package pionlog sends pion's log lines to slog, so that the node has one log.
package pionlog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// Factory makes loggers for pion's parts. Its zero value is not usable; see New.
type Factory struct{ log *slog.Logger }

// New returns a factory that writes to log. What pion calls a warning or an error is nearly always a peer's doing (a stray
// STUN packet, a closed socket), which an operator cannot mend: it is logged at debug level.
func New(log *slog.Logger) *Factory { return &Factory{log: log} }

// NewLogger implements logging.LoggerFactory.
func (f *Factory) NewLogger(scope string) logging.LeveledLogger {
	return &logger{f.log.With("scope", scope)}
}

type logger struct{ log *slog.Logger }

func (l *logger) write(msg string) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "pion", slog.String("said", msg))
}

func (l *logger) writef(format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.write(fmt.Sprintf(format, args...))
	}
}

// Trace and Debug lines of pion come per packet: they are dropped.
func (l *logger) Trace(string)                      {}
func (l *logger) Tracef(string, ...any)             {}
func (l *logger) Debug(string)                      {}
func (l *logger) Debugf(string, ...any)             {}
func (l *logger) Info(msg string)                   { l.write(msg) }
func (l *logger) Infof(format string, args ...any)  { l.writef(format, args) }
func (l *logger) Warn(msg string)                   { l.write(msg) }
func (l *logger) Warnf(format string, args ...any)  { l.writef(format, args) }
func (l *logger) Error(msg string)                  { l.write(msg) }
func (l *logger) Errorf(format string, args ...any) { l.writef(format, args) }
