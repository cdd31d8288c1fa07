package storm

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"weever/mediad/internal/client"
	"weever/shared/eventually"
	"weever/shared/testkit"
	"weever/shared/testkit/netns"
	"weever/shared/testkit/proc"
)

const (
	joinLimit = 20 * time.Second // of one session, on a machine that is busy
	mediaPort = 8443             // HTTP and UDP

	adminToken = "storm"
)

// stage is a node on a machine of its own, and a network where others can be. It is the test's goroutine's.
type stage struct {
	testing.TB
	*proc.Process // the node's

	lan     *netns.LAN
	station *netns.Station // the node's
	log     *journal       // the node's
	http    *http.Client   // for everybody
}

// journal keeps the end of a log and counts all of it.
type journal struct {
	*proc.Output
	bytes atomic.Int64
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.bytes.Add(int64(len(p)))
	return j.Output.Write(p)
}

// newStage returns when the node takes sessions. Everything ends with the test.
func newStage(t testing.TB, flags ...string) *stage {
	t.Helper()
	return newStageBy(t, nil, flags...)
}

// newStageBy is newStage with a program that starts the node.
func newStageBy(t testing.TB, starter []string, flags ...string) *stage {
	t.Helper()
	s := &stage{TB: t, Process: proc.New(t, "mediad"), lan: netns.NewLAN(t), log: &journal{Output: proc.NewOutput()}}
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport, Timeout: joinLimit}
	host := s.lan.Host.String()
	redis := testkit.StartRedisAt(t, host)
	bus, err := server.NewServer(&server.Options{Host: host, Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	bus.Start()
	t.Cleanup(func() { bus.Shutdown(); bus.WaitForShutdown() })
	if !bus.ReadyForConnections(proc.StartLimit) {
		t.Fatal("the NATS server does not start")
	}
	s.station = s.lan.Station()
	addr := s.station.Addr.String()
	words := append(slices.Clone(starter), os.Getenv(mediadEnv),
		"--plain-http", "--host="+addr, "--port="+strconv.Itoa(mediaPort), "--private-host="+addr, "--private-port=9443", "--admin-token="+adminToken,
		"--udp-port="+strconv.Itoa(mediaPort), "--interfaces=eth0", "--no-auth", "--namespace=storm", "--node-id=node", "--advertise-host="+addr,
		"--redis="+redis.URL, "--nats="+bus.ClientURL(), "--rate-limit=off", "--max-sessions=0", "--drain-timeout=1s")
	words = append(words, flags...)
	cmd := s.station.Command(context.WithoutCancel(t.Context()), words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	t.Cleanup(s.leave)
	if err := s.Run(cmd, "", proc.StartLimit); err != nil {
		t.Fatalf("mediad: %v", err)
	}
	await(t, "the node to be ready", proc.StartLimit, func() error {
		resp, err := s.http.Get(s.private("/readiness"))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return nil
	})
	return s
}

// leave ends the node in order: whatever it met, it must still be able to.
func (s *stage) leave() {
	select {
	case <-s.Exited():
		s.Errorf("the node has ended by itself: %s", s.said())
		return
	default:
	}
	if s.Failed() {
		s.Logf("the node said: %s", s.said())
	}
	s.Signal(syscall.SIGTERM)
	select {
	case <-s.Exited():
	case <-time.After(20 * time.Second):
		s.Errorf("the node does not end after SIGTERM: %s", s.said())
	}
	s.Stop()
}

// said is the end of the node's log.
func (s *stage) said() string {
	text, _ := s.log.Read()
	return text
}

// url is where clients reach the node.
func (s *stage) url() string { return "http://" + s.media().String() }

func (s *stage) private(path string) string {
	return fmt.Sprintf("http://%s:9443%s", s.station.Addr, path)
}

// media is the node's port for media.
func (s *stage) media() netip.AddrPort { return netip.AddrPortFrom(s.station.Addr, mediaPort) }

// visit says where somebody opens a session.
func (s *stage) visit(room, id string) client.Config {
	return client.Config{URL: s.url(), Room: room, ID: id, HTTP: s.http}
}

// within is a context for opening a session.
func within(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// publish opens a publisher that hangs up when the test ends.
func (s *stage) publish(room, id string, tracks ...client.Track) *client.Publisher {
	s.Helper()
	p, err := client.Publish(within(s, joinLimit), s.visit(room, id), tracks...)
	if err != nil {
		s.Fatalf("%s cannot publish: %v", id, err)
	}
	s.Cleanup(p.Hangup)
	return p
}

// subscribe opens a viewer that hangs up when the test ends.
func (s *stage) subscribe(cfg client.Config) *client.Subscriber {
	s.Helper()
	v, err := client.Subscribe(within(s, joinLimit), cfg, 1, 1)
	if err != nil {
		s.Fatalf("%s cannot subscribe: %v", cfg.ID, err)
	}
	s.Cleanup(v.Hangup)
	return v
}

// figures are what /metrics says: values by name and labels, as they are written there.
type figures map[string]float64

// figures asks the node.
func (s *stage) figures() figures {
	s.Helper()
	f, err := s.ask()
	if err != nil {
		s.Fatalf("the node's metrics: %v", err)
	}
	return f
}

func (s *stage) ask() (figures, error) {
	req, err := http.NewRequest(http.MethodGet, s.private("/metrics"), nil) //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	f := figures{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "} ")
		if ok {
			name += "}"
		} else if name, value, ok = strings.Cut(lines.Text(), " "); !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			f[name] = v
		}
	}
	return f, lines.Err()
}

// sum adds up all values of a metric that have the labels, each written as `name="value"`.
func (f figures) sum(name string, labels ...string) (sum float64) {
series:
	for key, value := range f {
		metric, rest, _ := strings.Cut(key, "{")
		if metric != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue series
			}
		}
		sum += value
	}
	return sum
}

// since is what has been added since an earlier reading.
func (f figures) since(before figures) figures {
	d := figures{}
	for key, value := range f {
		if value != before[key] {
			d[key] = value - before[key]
		}
	}
	return d
}

// named lists what of a metric is not zero.
func (f figures) named(name string) string {
	var all []string
	for key, value := range f {
		if metric, labels, _ := strings.Cut(key, "{"); metric == name && value != 0 {
			all = append(all, fmt.Sprintf("%s %g", strings.TrimSuffix(labels, "}"), value))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// overflows counts the packets that the kernel has dropped because the node did not read them in time.
func (s *stage) overflows() (n uint64) {
	s.Helper()
	out, err := s.station.Command(s.Context(), "cat", "/proc/net/udp").Output()
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", mediaPort)) {
			continue
		}
		drops, err := strconv.ParseUint(fields[len(fields)-1], 10, 64)
		if err != nil {
			s.Fatal(err)
		}
		n += drops
	}
	return n
}

// await looks until ok gives nil, or fails the test, saying what it waited for and what was amiss last.
func await(t testing.TB, what string, limit time.Duration, ok func() error) {
	t.Helper()
	eventually.Nil(t, limit, what, ok)
}

// hold lets something last.
func hold(d time.Duration) { <-time.After(d) }
