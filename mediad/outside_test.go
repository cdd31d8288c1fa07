package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/hashicorp/consul/api"

	"weever/mediad/internal/client"
	"weever/mediad/internal/load"
	"weever/shared/logtest"
	"weever/shared/testkit"
	"weever/shared/testkit/lambda"
)

// invoke sends an API Gateway HTTP API (v2) event to a function, as the cloud would, and returns its reply.
func invoke(t *testing.T, fn *lambda.Runtime, route, method, path string, params map[string]string, body string, header map[string]string) events.APIGatewayV2HTTPResponse {
	t.Helper()
	ev := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: method + " " + route, RawPath: path, Headers: header, Body: body, PathParameters: params,
	}
	ev.RequestContext.RouteKey, ev.RequestContext.Stage = ev.RouteKey, "$default"
	ev.RequestContext.HTTP.Method, ev.RequestContext.HTTP.Path = method, path
	out, err := fn.Invoke(ev)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, fn.Log())
	}
	var resp events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &resp); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return resp
}

// A token that a Lambda created opens /pub on a node, a Lambda lists that publisher, and a Lambda's kick ends it.
func TestLambdasAndNodeAreOneSystem(t *testing.T) {
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Auth.On = true
	n := start(t, cfg)
	env := map[string]string{"WEEVER_REDIS": c.redis, "WEEVER_NAMESPACE": cfg.Shared.Namespace}
	lambda := func(name string) *lambda.Runtime {
		return lambda.Start(t, lambda.Build(t, name, runtime.GOARCH), env)
	}

	created := invoke(t, lambda("create"), "/create/{role}", "POST", "/create/pub", map[string]string{"role": "pub"},
		`{"room":"tea","id":"alice","role":"pub","token":""}`, map[string]string{"content-type": "application/json"})
	var token struct{ Token string }
	if err := json.Unmarshal([]byte(created.Body), &token); err != nil || created.StatusCode != 200 || token.Token == "" {
		t.Fatalf("create: %+v", created)
	}
	conf := clientConfig(n, "tea", "alice+cam")
	if _, err := client.Publish(within(t, 5*time.Second), conf, client.Microphone()); err == nil {
		t.Fatal("published without the token")
	}
	conf.Token = token.Token
	p, err := client.Publish(within(t, 10*time.Second), conf, client.Microphone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Hangup)
	list := lambda("list")
	await(t, "the Lambda to list the publisher", 10*time.Second, func() bool {
		return invoke(t, list, "/list/{role}/{room}", "GET", "/list/pub/tea", map[string]string{"role": "pub", "room": "tea"}, "", nil).Body == "alice+cam"
	})
	asJSON := invoke(t, list, "/list/{role}/{room}", "GET", "/list/pub/tea", map[string]string{"role": "pub", "room": "tea"}, "", map[string]string{"accept": "application/json"})
	if !strings.Contains(asJSON.Body, `"audio0"`) || !strings.Contains(asJSON.Body, `"node-0"`) || strings.Contains(asJSON.Body, n.instance) {
		t.Errorf("list as JSON: %s", asJSON.Body)
	}

	began := time.Now()
	if r := invoke(t, lambda("kick"), "/{role}/{room}/{id}", "DELETE", "/pub/tea/alice", map[string]string{"role": "pub", "room": "tea", "id": "alice"}, "", nil); r.StatusCode >= 300 {
		t.Fatalf("kick: %+v", r)
	}
	select {
	case <-p.Done():
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("kicked after %v", took)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still there after a kick")
	}
	if _, err := client.Publish(within(t, 5*time.Second), conf, client.Microphone()); err == nil {
		t.Error("the token works after a kick")
	}
}

// A real Consul agent sees the node come, pass its check, and go.
func TestNodeInConsul(t *testing.T) {
	c := newCluster(t, 1)
	cfg := c.config(0)
	cfg.Node.Region = "here"
	cfg.Shared.Consul = testkit.Consul(t)
	agent, err := api.NewClient(&api.Config{Address: cfg.Shared.Consul})
	if err != nil {
		t.Fatal(err)
	}
	entry := func() *api.ServiceEntry {
		entries, _, err := agent.Health().Service("weever-mediad", "", false, nil)
		if err != nil || len(entries) == 0 {
			return nil
		}
		return entries[0]
	}
	n := start(t, cfg)
	await(t, "the node to pass its check", 15*time.Second, func() bool {
		e := entry()
		return e != nil && e.Checks.AggregatedStatus() == api.HealthPassing
	})
	e := entry().Service
	if e.ID != "node-0" || e.Address != "127.0.0.1" || e.Port != int(addrOf(n.public[0]).Port()) || e.Meta["region"] != "here" || e.Meta["epoch"] == "" {
		t.Errorf("registered as %+v", e)
	}
	n.stop()
	if e := entry(); e != nil {
		t.Errorf("still registered after the end: %+v", e.Service)
	}
}

// `--dev` needs nothing, is there in less than two seconds and prints where to go.
func TestDev(t *testing.T) {
	cli, err := parse([]string{"--dev", "--port=0", "--dev-port=0", "--private-port=0", "--udp-port=0"}, &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var out, log logtest.Buffer
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- serve(ctx, cli.Serve, &out, &log) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := log.String(); len(s) > 0 {
			t.Errorf("noise: %s", s)
		}
	}()
	var urls []string
	await(t, "the URLs", 5*time.Second, func() bool {
		urls = urls[:0]
		for line := range strings.Lines(out.String()) {
			for f := range strings.FieldsSeq(line) {
				if strings.HasPrefix(f, "http") {
					urls = append(urls, f)
				}
			}
		}
		return len(urls) == 3
	})
	await(t, "the page", 5*time.Second, func() bool {
		resp, err := http.Get(urls[0])
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 200
	})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("ready after %v", took)
	}
	if !slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, "https://localhost:") }) {
		t.Errorf("printed %s", out.String())
	}
	for _, u := range urls[:2] {
		if r := do(t, "GET", u+"rooms", "", nil); r.status != 200 {
			t.Errorf("the control API at %s: %+v", u, r)
		}
	}
	report, err := load.Run(within(t, 30*time.Second), load.Config{URL: strings.TrimSuffix(urls[0], "/"), Pubs: 1, Subs: 3, Duration: time.Second})
	if err != nil || report.Subscribers.Joined != 3 {
		t.Errorf("load: %+v, %v", report, err)
	}
}
