// Package guest runs a part of a test on another machine: a network namespace, which a process can only be in as a whole. So the test
// binary is started once more there, as a server of calls on its standard input and output.
//
// The package's TestMain asks Asked and then calls Serve; a test calls Start and Call.
package guest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// env makes the test binary serve calls in place of running tests.
const env = "WEEVER_TEST_GUEST"

// service is the name of what is called, for package net/rpc.
const service = "Guest"

// Nothing is an argument or a reply that says nothing.
type Nothing struct{}

// Asked reports whether this process is to serve calls.
func Asked() bool { return os.Getenv(env) != "" }

// Serve answers calls with the methods of to, as package net/rpc wants them, until the standard input ends; an error says that it cannot.
func Serve(to any) error {
	calls := rpc.NewServer()
	if err := calls.RegisterName(service, to); err != nil {
		return err
	}
	calls.ServeConn(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout})
	return nil
}

// Machine is where a process can be started: of package netns.
type Machine interface {
	Command(ctx context.Context, name string, args ...string) *exec.Cmd
}

// Guest is the process on the other machine, as the test sees it.
type Guest struct {
	tb   testing.TB
	name string
	cmd  *exec.Cmd
	rpc  *rpc.Client
}

// Start starts the process on a machine, by whose name it is complained about. It ends with the test, which fails if that takes it longer than
// patience.
func Start(tb testing.TB, on Machine, name string, patience time.Duration) *Guest {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := on.Command(context.WithoutCancel(tb.Context()), self)
	cmd.Env = append(os.Environ(), env+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = os.Stderr
	ours, theirs := net.Pipe()
	cmd.Stdin, cmd.Stdout = theirs, theirs
	if err := cmd.Start(); err != nil {
		tb.Fatalf("starting a guest on %s: %v", name, err)
	}
	g := &Guest{tb: tb, name: name, cmd: cmd, rpc: rpc.NewClient(ours)}
	tb.Cleanup(func() { g.end(patience) })
	return g
}

func (g *Guest) end(patience time.Duration) {
	g.Signal(syscall.SIGCONT) // it may be stopped
	if err := g.rpc.Close(); err != nil && !errors.Is(err, rpc.ErrShutdown) {
		g.tb.Errorf("the guest on %s: %v", g.name, err)
	}
	late := time.AfterFunc(patience, func() {
		g.tb.Errorf("the guest on %s does not end", g.name)
		_ = g.cmd.Process.Kill()
	})
	defer late.Stop()
	if err := g.cmd.Wait(); err != nil {
		g.tb.Errorf("the guest on %s: %v", g.name, err)
	}
}

// Signal stops the process (SIGSTOP) or lets it go on (SIGCONT).
func (g *Guest) Signal(sig syscall.Signal) {
	g.tb.Helper()
	if err := g.cmd.Process.Signal(sig); err != nil {
		g.tb.Errorf("signal %v to the guest on %s: %v", sig, g.name, err)
	}
}

// Call has the other process do something that must succeed.
func Call[R, A any](g *Guest, method string, args A) R {
	g.tb.Helper()
	return Begin[R](g, method, args)()
}

// Begin has the other process begin something that must succeed; what it returns waits for the result.
func Begin[R, A any](g *Guest, method string, args A) func() R {
	var reply R
	call := g.rpc.Go(service+"."+method, args, &reply, nil)
	return func() R {
		g.tb.Helper()
		if <-call.Done; call.Error != nil {
			g.tb.Fatalf("%s on %s: %v", method, g.name, call.Error)
		}
		return reply
	}
}
