package proc

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// StartLimit bounds the wait for a program to answer: far above what a busy machine needs, below a test's own limit.
const StartLimit = 20 * time.Second

// Process is a program that a test starts, freezes and kills, again and again. Its methods are called by the test's goroutine only.
type Process struct {
	t    testing.TB
	name string // for messages

	cmd    *exec.Cmd       // of the running program; nil while stopped
	out    *Output         // of that, or of the last one
	exited <-chan struct{} // closed when it has ended; nil before the first start
}

// New makes a Process that does not run yet; name is for messages. Whoever calls Run sees to it that Stop is called.
func New(t testing.TB, name string) *Process { return &Process{t: t, name: name, out: NewOutput()} }

// Run starts cmd and returns when it has said ready; the error of one that ended instead holds its last words. What it writes is
// remembered, but for streams that cmd sends elsewhere.
func (p *Process) Run(cmd *exec.Cmd, ready string, limit time.Duration) error {
	cmd.SysProcAttr = DieWithParent()
	out := NewOutput()
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = out
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // tests end the program by a kill; one that failed by itself has said why
		close(exited)
	}()
	p.cmd, p.out, p.exited = cmd, out, exited
	if err := out.Await(ready, exited, limit); err != nil {
		p.Stop()
		return err
	}
	return nil
}

// Stop kills the program: connections break, and what it held in memory is lost. Twice does no harm.
func (p *Process) Stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	p.cmd = nil
}

// Pause freezes the program: connections stay, nothing is answered, what it holds is kept. Resume lets it go on.
func (p *Process) Pause() { p.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() { p.Signal(syscall.SIGCONT) }

// Signal sends any signal to the running program.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		p.t.Fatalf("%s: signal %v: it does not run", p.name, sig)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: signal %v: %v", p.name, sig, err)
	}
}

// Await returns when the program has written text; the error says what it wrote instead.
func (p *Process) Await(text string, limit time.Duration) error {
	return p.out.Await(text, p.exited, limit)
}

// Exited is closed when the program has ended; nil when it was never started.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode is that of the program after Exited; -1 when a signal ended it.
func (p *Process) ExitCode() int {
	<-p.exited
	if p.cmd == nil {
		return -1 // Stop has killed it
	}
	return p.cmd.ProcessState.ExitCode()
}

// Said is the end of what the program has written, or the last one did.
func (p *Process) Said() string {
	text, _ := p.out.Read()
	return text
}
