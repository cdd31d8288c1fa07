package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/health"
	"weever/mediad/internal/webserver"
	"weever/shared/logtest"
	"weever/shared/testkit"
)

// What /readiness tells of a node and the services it needs.

// The limits of the node's HTTP servers, for tests of hostile clients.
const (
	headerTimeout = webserver.HeaderTimeout
	readTimeout   = webserver.ReadTimeout
)

// report is the whole answer of the probe.
func report(t *testing.T, n *testNode) (int, health.Report) {
	t.Helper()
	r := do(t, "GET", n.PrivateURL()+"/readiness", "", nil)
	var body health.Report
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return r.status, body
}

// awaitStatus waits until the node says that it is in a state for a reason, and gives the whole report.
func awaitStatus(t *testing.T, n *testNode, limit time.Duration, status health.Status, reason string) (code int, r health.Report) {
	t.Helper()
	await(t, n.cfg.Node.ID+" to be "+string(status)+" "+reason, limit, func() bool {
		code, r = report(t, n)
		return r.Status == status && r.Reason == reason
	})
	return code, r
}

// changes gives what the log says of the readiness, line by line.
func changes(log *logtest.Buffer) (lines []string) {
	for line := range strings.Lines(log.String()) {
		if _, change, ok := strings.Cut(line, `msg="readiness changed" `); ok {
			lines = append(lines, change)
		}
	}
	return lines
}

// A backend that stops is named until it is back, in the report and once in the log; the node stays in the balancer.
func TestReadinessNamesWhatIsAway(t *testing.T) {
	redis, nats, consul := testkit.StartRedis(t), testkit.NATSCluster(t, 1), testkit.StartConsul(t)
	cfg := (&cluster{redis: redis.URL, nats: []string{nats[0].URL}}).config(0)
	cfg.Shared.Consul, cfg.LogLevel = consul.URL, slog.LevelInfo
	var log logtest.Buffer
	n := startLogging(t, cfg, &log)
	var r health.Report
	await(t, "all to be up", 15*time.Second, func() bool {
		_, r = report(t, n)
		return r.Status == health.OK && r.Components["consul"].Status == "up" && r.Components["lease"].Status == "up"
	})
	for _, name := range []string{"redis", "nats", "consul", "lease"} {
		if c := r.Components[name]; c.Status != "up" || c.Since.IsZero() || time.Since(c.Since) > time.Minute {
			t.Errorf("%s: %+v", name, c)
		}
	}
	for name, c := range map[string]struct{ stop, start func() }{
		"redis": {redis.Stop, redis.Start}, "nats": {nats[0].Stop, nats[0].Start}, "consul": {consul.Stop, consul.Start},
	} {
		before := len(changes(&log))
		c.stop()
		began := time.Now()
		code, r := awaitStatus(t, n, 15*time.Second, health.Degraded, name+" away")
		if code != http.StatusOK || r.Backends[name] != "down" || r.Components[name].Status != "down" || r.Components[name].Since.Before(began.Add(-time.Second)) {
			t.Errorf("%s stopped: %d %+v", name, code, r)
		}
		for other, status := range r.Backends {
			if other != name && status != "up" {
				t.Errorf("%s stopped, and %s is %s", name, other, status)
			}
		}
		if live := do(t, "GET", n.PrivateURL()+"/liveness", "", nil); live.status != http.StatusOK {
			t.Errorf("%s stopped: liveness %d", name, live.status)
		}
		c.start()
		awaitStatus(t, n, 20*time.Second, health.OK, "")
		said := changes(&log)[before:]
		if len(said) != 2 || !strings.Contains(said[0], `was=ok is=degraded reason="`+name+` away"`) || !strings.Contains(said[1], "was=degraded is=ok") {
			t.Errorf("%s: the log says %q", name, said)
		}
	}
	publish(t, n, "tea", "alice")
}

// A Redis that takes requests and does not answer makes the answers of the probe no slower, and the node serves again when it goes on.
func TestReadinessNeverWaits(t *testing.T) {
	redis := testkit.StartRedis(t)
	nats := testkit.NATSCluster(t, 1)
	n := start(t, (&cluster{redis: redis.URL, nats: []string{nats[0].URL}}).config(0))
	awaitStatus(t, n, 10*time.Second, health.OK, "")
	redis.Pause()
	t.Cleanup(redis.Resume)
	var took []time.Duration
	var last health.Report
	await(t, "the node to have lost its lease", 30*time.Second, func() bool {
		began := time.Now()
		code, r := report(t, n)
		took, last = append(took, time.Since(began)), r
		if code != http.StatusOK {
			t.Errorf("%d %+v", code, r)
		}
		return r.Reason == "redis, lease away"
	})
	if last.Backends["redis"] != "down" || last.Backends["nats"] != "up" || last.Components["lease"].Status != "down" {
		t.Errorf("%+v", last)
	}
	slices.Sort(took)
	if median, most := took[len(took)/2], took[len(took)-1]; median > 50*time.Millisecond || most > 500*time.Millisecond {
		t.Errorf("answers took %v, the slowest %v", median, most)
	} else {
		t.Logf("%d answers took %v, the slowest %v", len(took), median, most)
	}
	redis.Resume()
	awaitStatus(t, n, 20*time.Second, health.OK, "")
	publish(t, n, "tea", "alice")
}

// While it waits for its backends a node says that it is starting, and which of them are not there.
func TestReadinessOfAStart(t *testing.T) {
	redis := testkit.StartRedis(t)
	nats := testkit.NATSCluster(t, 1)
	nats[0].Stop()
	n := launch(t, (&cluster{redis: redis.URL, nats: []string{nats[0].URL}}).config(0))
	code, r := report(t, n)
	if code != http.StatusServiceUnavailable || r.Status != health.Starting || !strings.Contains(r.Reason, "NATS") {
		t.Errorf("%d %+v", code, r)
	}
	await(t, "Redis to be found", 5*time.Second, func() bool {
		_, r = report(t, n)
		return r.Backends["redis"] == "up" && r.Backends["nats"] == "down"
	})
	if r.Status != health.Starting || r.Components["lease"].Status != "unknown" {
		t.Errorf("%+v", r)
	}
	nats[0].Start()
	awaitReady(t, n)
	awaitStatus(t, n, 10*time.Second, health.OK, "")
}
