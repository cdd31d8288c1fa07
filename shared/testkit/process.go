package testkit

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test starts, freezes and kills. RedisServer and ConsulServer embed it; its methods are called by the
// test's goroutine only, and the program dies with the test.
type process struct {
	t    testing.TB
	name string // for messages

	// Of the running program; nil while stopped.
	cmd    *exec.Cmd
	out    *output
	exited <-chan struct{} // closed when it has ended
}

// run starts cmd and returns when it has said ready; the error of one that ended instead holds its last words.
func (p *process) run(cmd *exec.Cmd, ready string, limit time.Duration) error {
	cmd.SysProcAttr = dieWithParent()
	out := newOutput()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // tests end the program by a kill; one that failed by itself has said why
		close(exited)
	}()
	p.cmd, p.out, p.exited = cmd, out, exited
	if err := out.await(ready, exited, limit); err != nil {
		p.Stop()
		return err
	}
	return nil
}

// Stop kills the program: connections break, and what it held in memory is lost.
func (p *process) Stop() {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	p.cmd, p.out, p.exited = nil, nil, nil
}

// Pause freezes the program: connections stay, nothing is answered, what it holds is kept. Resume lets it go on.
func (p *process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *process) Resume() { p.signal(syscall.SIGCONT) }

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: signal %v: %v", p.name, sig, err)
	}
}
