// Package proc runs programs for tests: it waits for their words, freezes and kills them, and lets none of them outlive the test binary.
package proc

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// outputKept is how much of a program's output is kept, in bytes: what it said before it failed.
const outputKept = 16 << 10

// Output is where a started program writes: it keeps the end of it and wakes whoever waits for a text.
// The program's copier goroutines write; the test reads.
type Output struct {
	mu    sync.Mutex
	buf   []byte
	wrote chan struct{} // closed and replaced at each write
}

// NewOutput makes an empty Output.
func NewOutput() *Output { return &Output{wrote: make(chan struct{})} }

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, p...)
	if extra := len(o.buf) - outputKept; extra > 0 {
		o.buf = append([]byte(nil), o.buf[extra:]...)
	}
	close(o.wrote)
	o.wrote = make(chan struct{})
	return len(p), nil
}

// Read gives the end of what was written, and a channel that is closed at the next write.
func (o *Output) Read() (text string, wrote <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf), o.wrote
}

// Await returns when text has been written. It fails with what was written instead when the program ends or limit passes.
func (o *Output) Await(text string, exited <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		got, wrote := o.Read()
		if strings.Contains(got, text) {
			return nil
		}
		select {
		case <-wrote:
		case <-exited:
			if got, _ = o.Read(); strings.Contains(got, text) {
				return nil
			}
			return fmt.Errorf("ended before it said %q: %s", text, got)
		case <-timer.C:
			return fmt.Errorf("did not say %q within %v: %s", text, limit, got)
		}
	}
}
