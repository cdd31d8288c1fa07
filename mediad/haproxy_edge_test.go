package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weever/mediad/internal/client"
	"weever/mediad/internal/ratelimit"
	"weever/shared/testkit"
)

// Single traits of the balancer that infra/ ships.

// What HAProxy says of its own file.
func TestShippedBalancerHasNoWarnings(t *testing.T) {
	e := startEdge(t, "127.0.0.1:1")
	check := exec.Command(e.cmd.Path, "-c", "-V", "-f", e.config)
	check.Env = append(e.env, "WEEVER_BIND=127.0.0.1:1")
	out, err := check.CombinedOutput()
	if err != nil || strings.Contains(string(out), "WARNING") || strings.Contains(string(out), "ALERT") {
		t.Errorf("%v: %s", err, out)
	}
}

// A large cluster: Consul's answer over UDP holds all nodes, in each backend, and goes on doing so.
func TestBalancerKnowsManyNodes(t *testing.T) {
	const many = 200
	consul := testkit.StartConsul(t)
	for i := range many {
		body := fmt.Sprintf(`{"ID": "node-%d", "Name": "weever-mediad", "Address": "127.1.%d.%d", "Port": 8443}`, i, i/200, i%200+1)
		if r := do(t, "PUT", consul.URL+"/v1/agent/service/register", body, nil); r.status != 200 {
			t.Fatalf("%+v", r)
		}
	}
	e := startEdge(t, consul.DNS)
	await(t, "all nodes in all backends", 20*time.Second, func() bool { return e.standing() == 3*many })
	<-time.After(3 * time.Second) // some answers more
	if n := e.standing(); n != 3*many || strings.Contains(e.log.String(), "DOWN") {
		t.Errorf("later there are %d", n)
	}
}

// A node believes what the balancer says of the client's address, and the balancer does not believe the client.
func TestClientAddressBehindTheBalancer(t *testing.T) {
	consul := testkit.StartConsul(t)
	e := startEdge(t, consul.DNS)
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Shared.Consul = consul.URL
	cfg.Public.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	cfg.Public.RatePerIP = ratelimit.Rate{Count: 3, Per: time.Hour}
	start(t, cfg)
	await(t, "the node behind the balancer", 15*time.Second, func() bool {
		r, err := try(t, "HEAD", e.url+"/pub/tea/nobody", "", nil)
		return err == nil && r.status < 500
	})
	post := func(from, forged string) int {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		hc := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true, DialContext: d.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own certificate
		}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/pub/tea/alice", strings.NewReader("v=0"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/sdp")
		req.Header.Set("X-Forwarded-For", forged)
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, client := range []string{"127.0.0.2", "127.0.0.3"} {
		var got []int
		for _, forged := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "127.0.0.1"} {
			got = append(got, post(client, forged))
		}
		for i, status := range got {
			if want := map[bool]int{true: 400, false: 429}[i < 3]; status != want {
				t.Errorf("%s: %v, want three times 400, then 429", client, got)
				break
			}
		}
	}
}

// A stream of events on which nothing happens lives on: the node's signs of life are more often than the balancer's patience ends. With
// less patience than that it is cut, which shows that it is they that keep it.
func TestIdleEventsThroughTheBalancer(t *testing.T) {
	consul := testkit.StartConsul(t)
	e := startEdge(t, consul.DNS)
	hasty := startEdge(t, consul.DNS, "timeout server 30s", "timeout server 4s", "timeout client 30s", "timeout client 4s")
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Shared.Consul = consul.URL
	n := start(t, cfg)
	publish(t, n, "tea", "alice", client.Microphone())
	v := startPlayer(t, n, "tea", "player", "alice")
	for _, e := range []*edge{e, hasty} {
		await(t, "the node behind the balancer", 15*time.Second, func() bool {
			r, err := try(t, "HEAD", e.url+"/pub/tea/nobody", "", nil)
			return err == nil && r.status < 500
		})
	}
	type end struct {
		after time.Duration
		beats int
	}
	read := func(e *edge, h2 bool, most time.Duration) <-chan end {
		out := make(chan end, 1)
		path := openEvents(t, n, v, `["viewercount"]`)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), most)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		hc := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: h2, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the test's own certificate
		resp, err := hc.Do(req)
		if err != nil || resp.StatusCode != 200 || (resp.ProtoMajor == 2) != h2 {
			t.Fatalf("%+v %v", resp, err)
		}
		go func() {
			defer cancel()
			defer resp.Body.Close()
			got := end{}
			for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
				if lines.Text() == ":" {
					got.beats++
				}
			}
			got.after = time.Since(began)
			out <- got
		}()
		return out
	}
	const long = 48 * time.Second
	first, second, cut := read(e, false, long), read(e, true, long), read(hasty, false, long)
	if got := <-cut; got.after > 10*time.Second || got.beats != 0 {
		t.Errorf("with timeouts of 4 s it was cut after %v", got.after)
	} else {
		t.Logf("with timeouts of 4 s it was cut after %v", got.after.Round(10*time.Millisecond))
	}
	old := e.reload()
	for _, got := range []end{<-first, <-second} {
		if got.after < long || got.beats != 3 {
			t.Errorf("cut after %v and %d signs of life", got.after, got.beats)
		}
		t.Logf("idle for %v, %d signs of life", got.after.Round(time.Second), got.beats)
	}
	select {
	case <-old:
		t.Log("the process before the reload ended with its streams")
	case <-time.After(10 * time.Second):
		t.Error("the process before the reload does not end")
	}
	if r := do(t, "HEAD", e.url+"/pub/tea/nobody", "", nil); r.status >= 500 {
		t.Errorf("after the reload: %+v", r)
	}
}
