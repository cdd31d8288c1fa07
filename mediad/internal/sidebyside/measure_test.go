package sidebyside

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weever/mediad/internal/load"
)

// This file is one measurement. The load has a process of its own; it says on its standard output how far it has come, one line of JSON
// each, and goes on when it reads a line.

// line is what the load says.
type line struct {
	Stage  load.Stage   `json:",omitempty"`
	Report *load.Report `json:",omitempty"` // the last one
}

// generate is the load's process.
func generate(order string) error {
	var cfg load.Config
	if err := json.Unmarshal([]byte(order), &cfg); err != nil {
		return err
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	out, in := json.NewEncoder(os.Stdout), bufio.NewReader(os.Stdin)
	cfg.Reached = func(s load.Stage) {
		if out.Encode(line{Stage: s}) == nil {
			_, _ = in.ReadString('\n') // at its end nobody is there to be waited for
		}
	}
	report, err := load.Run(context.Background(), cfg)
	if err != nil {
		return err
	}
	return out.Encode(line{Report: &report})
}

// scenario is what a server has to do.
type scenario struct {
	load.Config      // without the URLs
	people      int  // whom memory is divided by
	all         bool // all who are there are people, publishers too
}

// outcome is what the load saw, and what the servers used meanwhile.
type outcome struct {
	load.Report
	elapsed time.Duration // between the readings
	servers []used
	nats    cpu
}

// used is what one server used.
type used struct {
	cpu     cpu
	memory  float64            // bytes of heap and stacks that people added
	rss     float64            // likewise of resident memory
	counted map[string]float64 // by its counters; empty where there are none
}

// measure puts load on servers, whose URLs are in the scenario.
func (s *backends) measure(tb testing.TB, sc scenario, servers ...*server) (o outcome) {
	tb.Helper()
	sc.Duration = s.length
	o.servers = make([]used, len(servers))
	begin := make([]used, len(servers))
	var nats cpu
	var from time.Time
	read := func(into []used) {
		for i, srv := range servers {
			into[i].cpu = cpuOf(tb, srv.pid)
			if srv.node {
				into[i].counted = srv.metrics()
			}
		}
	}
	weigh := func() {
		for i, srv := range servers {
			begin[i].memory, begin[i].rss = srv.memory(), srv.rss()
		}
	}
	if sc.all {
		weigh()
	}
	profiled := func() {}
	o.Report = s.load(tb, sc.Config, func(stage load.Stage) {
		switch stage {
		case load.Published:
			<-time.After(s.settle)
			if !sc.all {
				weigh()
			}
		case load.Joined:
			<-time.After(s.settle)
			if *profile != "" {
				profiled = servers[len(servers)-1].profileCPU(s.length)
			}
			nats = cpuOf(tb, s.natsPID)
			read(begin)
			from = time.Now()
		case load.Measured:
			o.elapsed = time.Since(from)
			read(o.servers)
			o.nats = cpuOf(tb, s.natsPID).since(nats)
			profiled()
			for i, srv := range servers {
				u := &o.servers[i]
				u.rss = srv.rss() - begin[i].rss
				u.memory = srv.memory() - begin[i].memory
				u.cpu = u.cpu.since(begin[i].cpu)
				for name, before := range begin[i].counted {
					u.counted[name] -= before
				}
			}
		}
	})
	if o.elapsed > sc.Duration*5/4 {
		tb.Logf("the machine is too busy: a measurement of %v took %v", sc.Duration, o.elapsed)
	}
	return o
}

// load runs the load's process and calls reached at each stage.
func (s *backends) load(tb testing.TB, cfg load.Config, reached func(load.Stage)) load.Report {
	tb.Helper()
	order, err := json.Marshal(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := s.command(loadCore, self)
	cmd.Env = append(cmd.Env, roleEnv+"=load "+string(order), "GOGC=400")
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it has ended, but when the test failed
		_ = cmd.Wait()
	}()
	lines := json.NewDecoder(out)
	for {
		var said line
		if err := lines.Decode(&said); err != nil {
			tb.Fatalf("the load ended without a report: %v", err)
		}
		if said.Report != nil {
			return *said.Report
		}
		reached(said.Stage)
		if _, err := io.WriteString(in, "\n"); err != nil {
			tb.Fatal(err)
		}
	}
}

// profileCPU takes a CPU profile of the node while it is measured; what it returns waits for that and takes one of the heap.
func (s *server) profileCPU(length time.Duration) (finish func()) {
	done := make(chan string, 1)
	go func() { done <- s.get(fmt.Sprintf("/debug/pprof/profile?seconds=%.0f", max(1, length.Seconds()-1))) }()
	return func() {
		s.keep("cpu", <-done)
		s.keep("heap", s.get("/debug/pprof/heap?gc=1"))
	}
}

func (s *server) keep(kind, profiled string) {
	s.tb.Helper()
	if err := os.MkdirAll(*profile, 0o755); err != nil {
		s.tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*profile, kind+".pprof"), []byte(profiled), 0o600); err != nil {
		s.tb.Fatal(err)
	}
}
