// Package lambda runs Lambda functions for tests as AWS does.
package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"weever/shared/testkit/proc"
)

// eventLimit is how long a function may work on one event: what the template gives it.
const eventLimit = 10 * time.Second

// Runtime is AWS Lambda as a function sees it: the server of the Runtime API
// (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) and the process of one function, which asks it for events.
// Invoke may be called by several goroutines; like an instance in the cloud, the function gets one event at a time.
type Runtime struct {
	// ColdStart is the time from the start of the process to its first request for an event.
	ColdStart time.Duration

	out    *proc.Output
	exited <-chan struct{} // closed when the process has ended

	events  chan *event    // handed from Invoke to the function's request for the next event
	running chan struct{}  // holds a token while an event is being served
	asked   chan time.Time // one place; its first value is when the first event was asked for

	current atomic.Pointer[event] // the event being served
}

// event is one Invoke on its way.
type event struct {
	id      string
	payload []byte
	answer  chan reply // one place
}

type reply struct {
	body []byte
	err  error
}

// Build builds the Lambda in functions/<name> as `make package` does, for linux and that architecture ("amd64", "arm64"),
// and returns the path of its bootstrap.
func Build(t testing.TB, name, arch string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", bin, "weever/functions/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build functions/%s for %s: %v\n%s", name, arch, err, out)
	}
	return bin
}

// Start runs a function's bootstrap with env, and nothing else, as its configuration. It returns when the function asks for its first
// event, and ends it when the test ends.
func Start(t testing.TB, bootstrap string, env map[string]string) *Runtime {
	t.Helper()
	r := newRuntime()
	if err := r.start(t, bootstrap, env); err != nil {
		t.Fatalf("lambda: %v", err)
	}
	return r
}

func newRuntime() *Runtime {
	return &Runtime{events: make(chan *event), running: make(chan struct{}, 1), asked: make(chan time.Time, 1), out: proc.NewOutput()}
}

// Invoke sends event, encoded as JSON unless it is a []byte, and returns the function's answer. It fails when the function says that it
// did, when it ends, and when it takes longer than 10 s.
func (r *Runtime) Invoke(payload any) ([]byte, error) {
	raw, ok := payload.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	timer := time.NewTimer(eventLimit)
	defer timer.Stop()
	select {
	case r.running <- struct{}{}:
		defer func() { <-r.running }()
	case <-timer.C:
		return nil, fmt.Errorf("lambda: still busy with another event after %v", eventLimit)
	}
	e := &event{id: strconv.FormatInt(time.Now().UnixNano(), 10), payload: raw, answer: make(chan reply, 1)}
	select {
	case r.events <- e:
	case <-r.exited:
		return nil, fmt.Errorf("lambda: the function has ended: %s", r.Log())
	case <-timer.C:
		return nil, fmt.Errorf("lambda: the function did not ask for an event within %v: %s", eventLimit, r.Log())
	}
	select {
	case a := <-e.answer:
		return a.body, a.err
	case <-r.exited:
		return nil, fmt.Errorf("lambda: the function ended instead of answering: %s", r.Log())
	case <-timer.C:
		return nil, fmt.Errorf("lambda: no answer within %v: %s", eventLimit, r.Log())
	}
}

// Log is the end of what the function has written to its log.
func (r *Runtime) Log() string {
	text, _ := r.out.Read()
	return text
}

// start runs server and process, and waits for the first request for an event.
func (r *Runtime) start(t testing.TB, bootstrap string, env map[string]string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: r.routes(), ReadHeaderTimeout: eventLimit}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	cmd := exec.Command(bootstrap)
	cmd.SysProcAttr = proc.DieWithParent()
	cmd.Stdout, cmd.Stderr = r.out, r.out
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + l.Addr().String(), "AWS_LAMBDA_FUNCTION_NAME=test", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_REGION=eu-central-1", "LAMBDA_TASK_ROOT=" + filepath.Dir(bootstrap), "TZ=:UTC",
	}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	r.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // the kill below; a function that ends by itself is told by Invoke
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	timer := time.NewTimer(proc.StartLimit)
	defer timer.Stop()
	select {
	case first := <-r.asked:
		r.ColdStart = first.Sub(begun)
		return nil
	case <-exited:
		return fmt.Errorf("the function ended before it asked for an event: %s", r.Log())
	case <-timer.C:
		return fmt.Errorf("the function did not ask for an event within %v: %s", proc.StartLimit, r.Log())
	}
}

// routes is the Runtime API. Anything else a function might ask for is 404, which its library reports.
func (r *Runtime) routes() http.Handler {
	const base = "/2018-06-01/runtime"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"/invocation/next", r.next)
	mux.HandleFunc("POST "+base+"/invocation/{id}/response", func(w http.ResponseWriter, req *http.Request) {
		r.answer(w, req, func(body []byte) reply { return reply{body: body} })
	})
	mux.HandleFunc("POST "+base+"/invocation/{id}/error", func(w http.ResponseWriter, req *http.Request) {
		r.answer(w, req, func(body []byte) reply { return reply{err: errors.New(string(body))} })
	})
	return mux
}

// next blocks until there is an event, as the Runtime API does.
func (r *Runtime) next(w http.ResponseWriter, req *http.Request) {
	select {
	case r.asked <- time.Now():
	default: // not the first request
	}
	select {
	case e := <-r.events:
		r.current.Store(e)
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", e.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(eventLimit).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:test")
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
		_, _ = w.Write(e.payload)
	case <-req.Context().Done():
	}
}

func (r *Runtime) answer(w http.ResponseWriter, req *http.Request, read func(body []byte) reply) {
	body, err := io.ReadAll(req.Body)
	e := r.current.Load()
	if err != nil || e == nil || e.id != req.PathValue("id") || !r.current.CompareAndSwap(e, nil) {
		http.Error(w, "no such invocation", http.StatusBadRequest)
		return
	}
	e.answer <- read(body)
	w.WriteHeader(http.StatusAccepted)
}
