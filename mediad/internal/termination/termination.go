// Package termination tells a process that it is to end: politely the first time, at once the second.
//
// main calls Context before anything else and release last.
package termination

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context ends with the first SIGTERM or SIGINT. The second has its default effect: it ends the process, however soon it comes once
// the context has ended. release must be called; from then on both have it.
func Context() (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan os.Signal, 2)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-told:
			cancel()
		case <-over:
			return
		}
		select {
		case again := <-told:
			signal.Reset(again)
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				_ = self.Signal(again)
			}
		case <-over:
		}
	}()
	return ctx, func() {
		signal.Stop(told)
		close(over)
		<-gone
		cancel()
	}
}
